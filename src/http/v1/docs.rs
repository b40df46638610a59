//! `GET /v1/docs`: the reference as one page, made of the OpenAPI document. It loads nothing, and needs
//! no script.
use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    dialect::Dialects,
    openapi,
    problem::Kind,
    reference::{self, Row, Section},
};

/// Nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page without what is made of the document.
const FRAME: &str = include_str!("docs.html");

/// The page, as it is answered.
pub(super) fn response(page: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page).into_response()
}

/// The page, with the methods of these dialects.
pub(super) fn page(dialects: &Dialects) -> String {
    let document = serde_json::from_str(&openapi::text(dialects)).unwrap_or_default();
    let sections = reference::sections(&document);
    let links: String = sections.iter().map(link).collect();
    let methods: String = sections.iter().map(method).collect();
    let problems: String = Kind::ALL.iter().map(|kind| problem(*kind)).collect();
    FRAME
        .replace("{version}", &escape(env!("CARGO_PKG_VERSION")))
        .replace("{links}", &links)
        .replace("{methods}", &methods)
        .replace("{problems}", &problems)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text in which code stands between backticks.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    });
    parts.collect()
}

/// A method's name, and its anchor.
fn name(section: &Section) -> &str {
    section.path.trim_start_matches("/v1/")
}

fn link(section: &Section) -> String {
    format!("<a href=\"#{0}\">{0}</a>", escape(name(section)))
}

fn method(section: &Section) -> String {
    let mut html = format!(
        "<article id=\"{id}\"><h2><span class=\"verb\">{verb}</span> <a href=\"#{id}\">{path}</a></h2><p><b>{summary}.</b> {about}</p>",
        id = escape(name(section)),
        verb = section.verb,
        path = escape(&section.path),
        summary = escape(&section.summary),
        about = prose(&section.about),
    );
    if let Some(example) = &section.example {
        html += &format!("<pre><code>{}</code></pre>", escape(example));
    }
    if !section.takes.is_empty() {
        html += &table("It takes", "required", &section.takes);
    }
    html += &table("It gives", "always", &section.gives);
    let own = section.problems.iter().map(|kind| kind.word());
    let keys = if section.keyed { Kind::OF_KEYS } else { &[] };
    let words: Vec<String> = own
        .chain(keys.iter().map(|kind| kind.word()))
        .map(|word| format!("<a href=\"#{word}\">{word}</a>"))
        .collect();
    if !words.is_empty() {
        html += &format!("<p>Problems of its own: {}.</p>", words.join(", "));
    }
    if section.keyed {
        html += "<p>It takes the header <code>Idempotency-Key</code>.</p>";
    }
    html + "</article>"
}

/// Fields; `required` is the word for those that are never missing.
fn table(title: &str, required: &str, rows: &[Row]) -> String {
    let rows = rows.iter().map(|row| {
        let mark = if row.required { format!(" <em>{required}</em>") } else { String::new() };
        format!(
            "<div><dt><code>{}</code>{mark}<small>{}</small></dt><dd>{}</dd></div>",
            escape(&row.name),
            escape(&row.kind),
            prose(&row.about)
        )
    });
    format!("<h3>{title}</h3><dl>{}</dl>", rows.collect::<String>())
}

fn problem(kind: Kind) -> String {
    format!(
        "<div id=\"{word}\"><dt><code>{word}</code><small>{status}</small></dt><dd>{when}</dd></div>",
        word = kind.word(),
        status = kind.status(),
        when = prose(kind.when())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_method_and_every_problem_and_loads_nothing() {
        let page = page(&Dialects::default());
        for entry in super::super::method::all() {
            assert!(page.contains(&format!("<article id=\"{}\"", entry.name)), "{}", entry.name);
        }
        for kind in Kind::ALL {
            assert!(page.contains(&format!("<div id=\"{}\"", kind.word())), "{kind:?}");
        }
        for loading in ["src=", "<link", "@import", "url(", "<script"] {
            assert!(!page.contains(loading), "{loading}");
        }
        assert!(!page.contains("{methods}") && !page.contains("{problems}"));
    }

    /// docs/api.md, whose reference is made of the same.
    mod markdown {
        use std::fmt::Write;

        use super::*;

        const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md");
        const BEGIN: &str = "<!-- Made by a test: see src/http/v1/docs.rs. -->\n";
        const END: &str = "<!-- The end of what is made. -->\n";

        /// Text within a table.
        fn cell(text: &str) -> String {
            text.replace('|', "\\|").replace('\n', " ")
        }

        fn rows(into: &mut String, title: &str, required: &str, rows: &[Row]) {
            if rows.is_empty() {
                return;
            }
            let _ = writeln!(into, "\n| {title} | | |\n|---|---|---|");
            for row in rows {
                let mark = if row.required { format!(", {required}") } else { String::new() };
                let (name, kind, about) = (cell(&row.name), cell(&row.kind), cell(&row.about));
                let _ = writeln!(into, "| `{name}` | {kind}{mark} | {about} |");
            }
        }

        fn reference() -> String {
            let document = serde_json::from_str(&openapi::text(&Dialects::default())).unwrap();
            let mut text = String::new();
            for section in reference::sections(&document) {
                let Section { verb, path, summary, about, .. } = &section;
                let _ = writeln!(text, "\n### {verb} {path}\n\n{summary}. {about}");
                rows(&mut text, "takes", "required", &section.takes);
                rows(&mut text, "gives", "always", &section.gives);
                let own = section.problems.iter().map(|kind| kind.word());
                let keys = if section.keyed { Kind::OF_KEYS } else { &[] };
                let words: Vec<String> = own
                    .chain(keys.iter().map(|kind| kind.word()))
                    .map(|word| format!("`{word}`"))
                    .collect();
                if !words.is_empty() {
                    let _ = writeln!(text, "\nProblems of its own: {}.", words.join(", "));
                }
                if section.keyed {
                    let _ = writeln!(text, "\nTakes [`Idempotency-Key`](#once-and-only-once).");
                }
            }
            let _ = writeln!(
                text,
                "\n### Problems\n\n| status | `type` ends with | when |\n|---|---|---|"
            );
            for kind in Kind::ALL {
                let when = cell(kind.when());
                let _ = writeln!(text, "| {} | `{}` | {when} |", kind.status(), kind.word());
            }
            text + "\n"
        }

        fn updated(document: &str) -> String {
            let (before, rest) = document.split_once(BEGIN).expect("the reference");
            let (_, after) = rest.split_once(END).expect("the end of the reference");
            format!("{before}{BEGIN}{}{END}{after}", reference())
        }

        /// What is missing, superfluous or different: `AO_UPDATE_DOCS=1` with this test writes it
        /// anew.
        #[test]
        fn the_document_is_what_the_code_says() {
            let document = std::fs::read_to_string(DOCUMENT).unwrap();
            let updated = updated(&document);
            if std::env::var_os("AO_UPDATE_DOCS").is_some() {
                return std::fs::write(DOCUMENT, updated).unwrap();
            }
            for (is, should) in document.lines().zip(updated.lines()) {
                assert_eq!(is, should, "api.md is stale: run this test with AO_UPDATE_DOCS=1");
            }
            assert_eq!(document.len(), updated.len(), "api.md is stale: see above");
        }
    }
}
