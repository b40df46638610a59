//! The section `[runtime]`.

use crate::config::kind::{Kind, Shape};
use crate::config::setting::section;

const THREADS: Kind<usize> = Kind {
    name: "NUMBER",
    values: "a number of threads, 0 to 1024",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| match text.parse() {
        Ok(count) if count <= 1024 => Ok(count),
        _ => Err("expected a number from 0 to 1024".into()),
    },
    print: usize::to_string,
};

section! {
    /// The process itself.
    Runtime("runtime") {
        /// Worker threads. 0: one per core.
        workers: usize = "0", THREADS, "AO_RUNTIME__WORKERS";
    }
}
