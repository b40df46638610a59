//! `/console/`: the console for operators. Files of this binary and nothing else: what they show and do
//! comes of the HTTP API at the same address, asked by the page with an administrator's credentials.
//! So whoever reads these files has learnt nothing, and the page can do nothing that its
//! administrator may not.
use axum::{
    Router,
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

use super::error;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page's files: name, type, text.
static FILES: [(&str, &str, &str); 30] = [
    ("", "text/html; charset=utf-8", include_str!("console/index.html")),
    ("console.css", "text/css; charset=utf-8", include_str!("console/console.css")),
    ("icon.svg", "image/svg+xml", include_str!("console/icon.svg")),
    ("main.js", SCRIPT, include_str!("console/main.js")),
    ("actions.js", SCRIPT, include_str!("console/actions.js")),
    ("api.js", SCRIPT, include_str!("console/api.js")),
    ("audit.js", SCRIPT, include_str!("console/audit.js")),
    ("chat-actions.js", SCRIPT, include_str!("console/chat-actions.js")),
    ("chat.js", SCRIPT, include_str!("console/chat.js")),
    ("chats.js", SCRIPT, include_str!("console/chats.js")),
    ("chart.js", SCRIPT, include_str!("console/chart.js")),
    ("dialog.js", SCRIPT, include_str!("console/dialog.js")),
    ("dom.js", SCRIPT, include_str!("console/dom.js")),
    ("format.js", SCRIPT, include_str!("console/format.js")),
    ("hooks.js", SCRIPT, include_str!("console/hooks.js")),
    ("list.js", SCRIPT, include_str!("console/list.js")),
    ("one.js", SCRIPT, include_str!("console/one.js")),
    ("overview.js", SCRIPT, include_str!("console/overview.js")),
    ("phone-actions.js", SCRIPT, include_str!("console/phone-actions.js")),
    ("phone.js", SCRIPT, include_str!("console/phone.js")),
    ("phones.js", SCRIPT, include_str!("console/phones.js")),
    ("room.js", SCRIPT, include_str!("console/room.js")),
    ("rooms.js", SCRIPT, include_str!("console/rooms.js")),
    ("stat.js", SCRIPT, include_str!("console/stat.js")),
    ("tinode-actions.js", SCRIPT, include_str!("console/tinode-actions.js")),
    ("tinode-topic.js", SCRIPT, include_str!("console/tinode-topic.js")),
    ("tinode-user.js", SCRIPT, include_str!("console/tinode-user.js")),
    ("tinode.js", SCRIPT, include_str!("console/tinode.js")),
    ("user.js", SCRIPT, include_str!("console/user.js")),
    ("users.js", SCRIPT, include_str!("console/users.js")),
];

/// The page loads its own files and asks its own server, and that is all. It has no script and no
/// style within it, and text never becomes markup: a browser that knows Trusted Types refuses it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The routes.
pub fn routes() -> Router {
    Router::new()
        .route("/console", get(|| async { Redirect::permanent("console/") }))
        .route("/console/", get(|| async { file("") }))
        .route("/console/{name}", get(|Path(name): Path<String>| async move { file(&name) }))
}

fn file(name: &str) -> Response {
    let Some((_, kind, text)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return error(StatusCode::NOT_FOUND, "the console has no such file");
    };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, *text).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of modules that a script imports.
    fn imports(text: &str) -> impl Iterator<Item = &str> {
        text.split(" from './").skip(1).filter_map(|rest| rest.split('\'').next())
    }

    #[test]
    fn every_file_that_another_one_needs_is_there_and_is_needed() {
        let known: BTreeSet<&str> = FILES.iter().map(|(name, ..)| *name).collect();
        let mut needed = BTreeSet::from([""]);
        for (name, _, text) in FILES {
            needed.extend(imports(text));
            for quoted in text.split(['"', '\'']).filter(|_| name.is_empty()) {
                needed.extend(quoted.strip_prefix("./"));
            }
        }
        assert_eq!(known, needed);
    }

    #[test]
    fn text_never_becomes_markup_or_script() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "localStorage",
            "DOMParser",
        ];
        for (name, _, text) in FILES {
            for word in forbidden {
                assert!(!text.contains(word), "{word} in {name}");
            }
            for scheme in ["https://", "http://"] {
                let of_svg = format!("{scheme}www.w3.org/2000/svg");
                assert!(!text.replace(&of_svg, "").contains(scheme), "{scheme} in {name}");
            }
        }
        let page = FILES[0].2;
        for inline in ["<style", " style=", " onclick=", " onload="] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(page.matches("<script").count(), 1);
    }
}
