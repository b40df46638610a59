//! The top-level key `compat`: which of the original's two behaviours is spoken where they differ.

use crate::config::kind::words;
use crate::config::layers::Layers;
use crate::config::setting::Setting;

words! {
    /// Which behaviour of the original to follow where its documents and its code differ.
    Compat as COMPAT {
        /// What its README says.
        Documented = "documented",
        /// What the running servers do.
        Deployed = "deployed",
    }
}

const KEY: &str = "compat";
const DEFAULT: &str = "documented";

pub(in crate::config) fn setting() -> Setting {
    let doc = "Which behaviour of the original to follow where its documents and its running code differ: \
               status codes, some answers, the token API.";
    Setting::new(["", "Compatibility with the original."], KEY, "AO_COMPAT", DEFAULT, doc, &COMPAT)
}

pub(in crate::config) fn read(layers: &mut Layers) -> Option<Compat> {
    layers.take(KEY, DEFAULT, &COMPAT)
}

pub(in crate::config) fn value(compat: Compat) -> (&'static str, String) {
    (KEY, compat.to_string())
}
