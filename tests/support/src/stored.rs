//! What a room holds, read the way clients read it.
use std::io::Read;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::client::Client;

/// Inserts in a full page.
const PAGE: usize = 200;

/// A room's content, as `sync` gives it.
pub struct Stored {
    pub inserts: Vec<Value>,
    pub updates: Vec<Value>,
}

impl Stored {
    /// Page by page from the beginning, plain and gzipped in turn.
    pub async fn walk(reader: &mut Client, mut gzip: bool) -> Stored {
        let (mut inserts, mut updates) = (Vec::new(), Vec::new());
        loop {
            let offset = inserts.len();
            let encoding = if gzip { json!("gzip") } else { Value::Null };
            let page = reader.sync(&json!({ "offset": offset, "encoding": encoding })).await;
            let entries = if gzip {
                unzip(&page)
            } else {
                page["data"].as_array().expect("an array").clone()
            };
            assert_eq!(
                page["offset"],
                offset + entries.len(),
                "the offset counts what is in the page"
            );
            gzip = !gzip;
            let (new, rest): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|m| m["s"] == 0);
            assert_eq!(
                entries,
                [new.clone(), rest.clone()].concat(),
                "inserts come before updates"
            );
            inserts.extend(new);
            updates.extend(rest);
            if page["next"] == 0 {
                assert!(entries.len() < PAGE + updates.len(), "a full page has a next one");
                return Stored { inserts, updates };
            }
            assert_eq!(
                (entries.len(), updates.len()),
                (PAGE, 0),
                "a page before the last is full, and of inserts only"
            );
        }
    }
}

fn unzip(page: &Value) -> Vec<Value> {
    assert_eq!(page["encoding"], "gzip");
    let zipped = STANDARD.decode(page["data"].as_str().expect("base64")).unwrap();
    let mut json = String::new();
    flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut json).unwrap();
    serde_json::from_str(&json).unwrap()
}
