//! A MongoDB database that ends with the test. The store's own tests
//! use it, too.

use mongodb::{
    Client, Collection, Database,
    bson::{Document, oid::ObjectId},
};

/// A database of one test on the server that `MONGODB_URL` names.
pub struct Scratch {
    pub name: String,
    /// The server's URL with this database in it.
    pub url: String,
}

impl Scratch {
    pub fn new() -> Scratch {
        let server = std::env::var("MONGODB_URL").expect(
            "MONGODB_URL names no MongoDB: run the tests with scripts/test, which starts one",
        );
        let name = format!("ao_test_{}", ObjectId::new().to_hex());
        Scratch { url: with_database(&server, &name), name }
    }

    /// The same with something put in: `user:password@` before the host, or `&option` at the end.
    pub fn url_with(&self, userinfo: &str, options: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let host = rest.split_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://{userinfo}{host}{options}")
    }

    pub async fn database(&self) -> Database {
        Client::with_uri_str(&self.url).await.unwrap().database(&self.name)
    }

    pub async fn collection(&self, name: &str) -> Collection<Document> {
        self.database().await.collection(name)
    }
}

/// A server's URL with a database, and the place of its users as it was.
fn with_database(server: &str, name: &str) -> String {
    let (scheme, rest) = server.split_once("://").expect("MONGODB_URL is no URL");
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, database) = place.split_once('/').unwrap_or((place, ""));
    let source = if database.is_empty() { "admin" } else { database };
    let source = if host.contains('@') && !options.contains("authSource=") {
        format!("&authSource={source}")
    } else {
        String::new()
    };
    format!("{scheme}://{host}/{name}?{options}{source}").replace("?&", "?")
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test's own runtime can't be waited on here.
        let (url, name) = (self.url.clone(), self.name.clone());
        let dropped = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime
                .block_on(async { Client::with_uri_str(&url).await?.database(&name).drop().await })
        });
        let dropped = dropped.join();
        assert!(
            std::thread::panicking() || matches!(dropped, Ok(Ok(()))),
            "the database {} is left behind",
            self.name
        );
    }
}
