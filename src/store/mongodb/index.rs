//! The unique index on uid: who creates is decided there, by the server.
use futures_util::TryStreamExt;
use mongodb::{
    Collection, Database, IndexModel,
    bson::{Bson, Document, doc},
    options::IndexOptions,
};

use super::{
    DUPLICATE_KEY, UNAUTHORIZED,
    open::{OpenError, Opening},
};

/// The server's code for a collection that does not exist.
const NO_COLLECTION: i32 = 26;
/// Its codes for an index of the same name or key, and other options.
const OTHER_INDEX: [i32; 2] = [85, 86];

/// Makes the index where there is none.
pub(super) async fn ensure(
    opening: &Opening<'_>,
    database: &Database,
    collection: &'static str,
) -> Result<(), OpenError> {
    let accounts: Collection<Document> = database.collection(collection);
    let listed = accounts.clone();
    match opening
        .run(async move { listed.list_indexes().await?.try_collect::<Vec<_>>().await })
        .await
    {
        Ok(indexes) if indexes.iter().any(serves) => return Ok(()),
        Ok(_) => {}
        // Who may not look may still be allowed to make it.
        Err(failure) if matches!(failure.code(), Some(NO_COLLECTION | UNAUTHORIZED)) => {}
        Err(failure) => return Err(opening.failed(failure)),
    }
    let made = opening.run(async move { accounts.create_index(unique()).await }).await;
    let name = || database.name().to_owned();
    match made {
        Ok(_) => Ok(()),
        Err(failure) => Err(match failure.code() {
            Some(DUPLICATE_KEY) => OpenError::Duplicates { database: name(), collection },
            Some(UNAUTHORIZED) => opening.forbidden(
                database,
                format!("make a unique index on uid in the collection {collection}"),
            ),
            Some(code) if OTHER_INDEX.contains(&code) => {
                OpenError::OtherIndex { database: name(), collection }
            }
            _ => opening.failed(failure),
        }),
    }
}

/// The index that is made.
pub(super) fn unique() -> IndexModel {
    let options = IndexOptions::builder().unique(true).build();
    IndexModel::builder().keys(doc! { "uid": 1 }).options(options).build()
}

/// Whether an index keeps every uid unique, as text.
fn serves(index: &IndexModel) -> bool {
    let on_uid = index.keys.len() == 1
        && matches!(index.keys.get("uid"), Some(Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_)));
    let options = index.options.as_ref();
    on_uid
        && options.is_some_and(|o| {
            o.unique == Some(true) && o.partial_filter_expression.is_none() && o.collation.is_none()
        })
}
