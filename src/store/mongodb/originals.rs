//! What another server has stored in the same database: documents in its own collections, which are
//! taken over. Each that is taken over has the field `always_online: {taken: true}` from then on,
//! which the other server takes no notice of, and there is an index on that, so that a start among
//! millions of marked documents is quick.
use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::{
    Collection as Documents, IndexModel,
    bson::{Bson, Document, doc},
    options::IndexOptions,
};

use super::{Accounts, call::Failure};
use crate::{
    domain::{
        error::StoreError,
        json::number_text,
        originals::{Original, Originals},
    },
    hex,
};

/// Where a document is marked.
const MARK: &str = "always_online.taken";
/// The name of the index on that.
const INDEX: &str = "always_online";
/// Bytes of JSON that end a batch.
const BATCH: usize = 8 << 20;

#[async_trait]
impl Originals for Accounts {
    async fn next(
        &self,
        collection: &'static str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Original>, StoreError> {
        let mut filter = doc! { MARK: null };
        match after {
            Some(after) => {
                filter.insert("_id", doc! { "$gt": id_of(after)? });
            }
            // Once for each time that all are gone through.
            None => {
                if !self.index_marks(collection).await? {
                    return Ok(Vec::new());
                }
            }
        }
        let documents: Documents<Document> = self.database.collection(collection);
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        let read = async move {
            let mut found =
                documents.find(filter).sort(doc! { "_id": 1 }).limit(limit).batch_size(20).await?;
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(document) = found.try_next().await? {
                let original = original(&document)?;
                bytes += original.json.len();
                batch.push(original);
                if bytes >= BATCH {
                    break;
                }
            }
            Ok(batch)
        };
        self.calls.run(self.calls.until(), read).await.map_err(Failure::of_read)
    }

    async fn taken(&self, collection: &'static str, ids: &[String]) -> Result<(), StoreError> {
        let ids = ids.iter().map(|id| id_of(id)).collect::<Result<Vec<Bson>, _>>()?;
        let documents: Documents<Document> = self.database.collection(collection);
        let (which, mark) = (doc! { "_id": { "$in": ids } }, doc! { "$set": { MARK: true } });
        let marked = async move { documents.update_many(which, mark).await };
        // It may be done again, so it does not matter whether it was done.
        self.calls.run(self.calls.until(), marked).await.map(drop).map_err(Failure::of_read)
    }
}

impl Accounts {
    /// Makes the index on marks. False: there is no such collection, and none is made. Where it
    /// takes longer than a call may, MongoDB goes on with it, and has it when this is tried again.
    async fn index_marks(&self, collection: &'static str) -> Result<bool, StoreError> {
        let (database, until) = (self.database.clone(), self.calls.until());
        let named = async move {
            database.list_collection_names().filter(doc! { "name": collection }).await
        };
        let named = self.calls.run(until, named).await.map_err(Failure::of_read)?;
        if named.is_empty() {
            return Ok(false);
        }
        let documents: Documents<Document> = self.database.collection(collection);
        let options = IndexOptions::builder().name(INDEX.to_owned()).build();
        let index = IndexModel::builder().keys(doc! { MARK: 1, "_id": 1 }).options(options).build();
        let made = async move { documents.create_index(index).await };
        self.calls.run(until, made).await.map_err(Failure::of_read)?;
        Ok(true)
    }
}

/// A document with its id.
fn original(document: &Document) -> Result<Original, mongodb::error::Error> {
    // A document of its own, as an id may be of any type.
    let id = doc! { "_id": document.get("_id").cloned().unwrap_or(Bson::Null) };
    let id = hex::encode(&id.to_vec().map_err(mongodb::error::Error::custom)?);
    let mut json = String::new();
    write_document(document, &mut json);
    Ok(Original { id, json })
}

/// The id that this text stands for.
fn id_of(text: &str) -> Result<Bson, StoreError> {
    let bytes = hex::decode(text);
    let document = bytes.and_then(|bytes| Document::from_reader(&bytes[..]).ok());
    document
        .and_then(|mut document| document.remove("_id"))
        .ok_or_else(|| StoreError::Unavailable("no id of a document".to_owned()))
}

fn write_document(document: &Document, json: &mut String) {
    json.push('{');
    for (at, (name, value)) in document.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write_text(name, json);
        json.push(':');
        write(value, json);
    }
    json.push('}');
}

/// A value as JavaScript would write it. A server's documents are not nested deeply.
fn write(value: &Bson, json: &mut String) {
    match value {
        Bson::Document(document) => write_document(document, json),
        Bson::Array(values) => {
            json.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    json.push(',');
                }
                write(value, json);
            }
            json.push(']');
        }
        Bson::String(text) | Bson::Symbol(text) => write_text(text, json),
        Bson::ObjectId(id) => write_text(&id.to_hex(), json),
        Bson::Boolean(value) => json.push_str(if *value { "true" } else { "false" }),
        Bson::Int32(number) => json.push_str(&number.to_string()),
        Bson::Int64(number) => json.push_str(&number.to_string()),
        Bson::Double(number) if number.is_finite() => json.push_str(&number_text(*number)),
        Bson::DateTime(date) => match date.try_to_rfc3339_string() {
            Ok(text) => write_text(&text, json),
            Err(_) => json.push_str("null"),
        },
        _ => json.push_str("null"),
    }
}

fn write_text(text: &str, json: &mut String) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, oid::ObjectId};

    use super::*;

    #[test]
    fn a_document_is_written_as_javascript_writes_it() {
        let id = ObjectId::parse_str("5f0000000000000000000001").unwrap();
        let document = doc! {
            "_id": id, "z": 1, "a": 2_i64, "timestamp": 1_700_000_000_123.0, "half": 0.5,
            "not": f64::NAN, "text": "\"é\n", "list": [null, true, { "b": 1, "a": [] }],
            "at": DateTime::from_millis(0),
        };
        let original = original(&document).unwrap();
        assert_eq!(
            original.json,
            concat!(
                r#"{"_id":"5f0000000000000000000001","z":1,"a":2,"timestamp":1700000000123,"#,
                r#""half":0.5,"not":null,"text":"\"é\n","list":[null,true,{"b":1,"a":[]}],"#,
                r#""at":"1970-01-01T00:00:00Z"}"#
            )
        );
        assert_eq!(id_of(&original.id), Ok(Bson::ObjectId(id)));
    }

    #[test]
    fn an_id_of_any_type_comes_back() {
        for id in [Bson::Int32(5), Bson::String("x".into()), Bson::Document(doc! { "a": 1 })] {
            let original = original(&doc! { "_id": id.clone() }).unwrap();
            assert_eq!(id_of(&original.id), Ok(id));
        }
        assert!(id_of("").is_err() && id_of("zz").is_err() && id_of("05000000").is_err());
    }
}
