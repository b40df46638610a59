//! What integrators are promised, tried on both stores: while servers, nodes and business servers
//! are killed, while everybody comes and goes at once, and with what nobody should send.

/// Each of these functions is a test on files and one on Redis.
macro_rules! on_both_stores {
    ($($test:ident)*) => {
        mod on_files {
            use super::super::site::Store;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(Store::Files).await;
                }
            )*
        }
        mod on_redis {
            use super::super::site::Store;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(Store::Redis).await;
                }
            )*
        }
    };
}

mod business;
mod cuts;
mod endpoints;
mod erasing;
mod hooks;
mod kicks;
mod requests;
mod returns;
mod rounds;
mod site;
mod tokens;
