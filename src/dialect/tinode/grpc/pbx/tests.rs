//! The structs say the same as proto/tinode.proto, field by field. Both are read as texts: what is
//! written here is what `prost` makes its code of.
use std::collections::BTreeMap;

const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/tinode.proto");
const OURS: [&str; 3] =
    [include_str!("../pbx.rs"), include_str!("client.rs"), include_str!("server.rs")];

/// By the message's name and the field's number: its name, and what it is.
type Fields = BTreeMap<(String, u32), (String, String)>;
/// By the enum's name and the number: the word, in lower case.
type Words = BTreeMap<(String, u32), String>;

fn word(text: &str) -> String {
    text.replace('_', "").to_ascii_lowercase()
}

/// The name that an enum within a message has here.
fn within(message: &str, name: &str) -> String {
    format!("{}{name}", message.trim_start_matches("Client").trim_start_matches("Server"))
}

fn of_proto() -> (Fields, Words) {
    let (mut fields, mut words) = (Fields::new(), Words::new());
    let proto = std::fs::read_to_string(PROTO).unwrap();
    let mut open: Vec<(&str, &str)> = Vec::new();
    for line in proto.lines().map(str::trim) {
        if let Some((kind, name)) = line.strip_suffix(" {").and_then(|line| line.split_once(' ')) {
            open.push((kind, name));
            continue;
        }
        if line == "}" {
            open.pop();
            continue;
        }
        let Some((left, number)) = line.strip_suffix(';').and_then(|line| line.split_once(" = "))
        else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        let message = open.iter().find(|(kind, _)| *kind == "message").map(|(_, name)| *name);
        if let Some(("enum", name)) = open.last() {
            let name = message.map_or((*name).to_owned(), |message| within(message, name));
            words.insert((name, number), word(left));
            continue;
        }
        let (kind, name) = left.rsplit_once(' ').unwrap();
        let message = message.unwrap();
        let (repeated, kind) =
            kind.strip_prefix("repeated ").map_or(("", kind), |kind| ("*", kind));
        let kind = match kind {
            "map<string, bytes>" => "map".to_owned(),
            "What" => within(message, "What"),
            other => other.to_owned(),
        };
        fields.insert((message.to_owned(), number), (name.to_owned(), format!("{repeated}{kind}")));
    }
    (fields, words)
}

/// What stands between these two.
fn between<'t>(text: &'t str, before: &str, behind: &str) -> Option<&'t str> {
    text.split_once(before)?.1.split_once(behind).map(|(inside, _)| inside)
}

fn ours() -> (Fields, Words) {
    let (mut fields, mut words) = (Fields::new(), Words::new());
    // The verbs of a message are an enum of their own, behind it.
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    let (mut name, mut attribute) = (String::new(), "");
    for line in OURS.into_iter().flat_map(str::lines).map(str::trim) {
        let head = line.strip_suffix(" {").filter(|head| head.starts_with("pub("));
        if let Some(head) = head {
            name = head.rsplit_once(' ').unwrap().1.to_owned();
            name = owners.get(&name).unwrap_or(&name).clone();
        } else if let Some(inside) = line.strip_prefix("#[prost(") {
            attribute = inside;
        } else if let Some((left, number)) =
            line.strip_suffix(',').and_then(|line| line.split_once(" = "))
        {
            words.insert((name.clone(), number.parse().unwrap()), word(left));
        } else if let Some(line) = line.strip_suffix(',').filter(|_| !attribute.is_empty()) {
            let attribute = std::mem::take(&mut attribute);
            if let Some(verbs) = between(attribute, "oneof = \"", "\"") {
                owners.insert(verbs.to_owned(), name.clone());
                continue;
            }
            let number = between(attribute, "tag = \"", "\"").unwrap().parse().unwrap();
            let (field, of) = match line.strip_prefix("pub ") {
                Some(field) => field.split_once(": ").unwrap(),
                None => line.strip_suffix(')').unwrap().split_once('(').unwrap(),
            };
            let of = of.strip_suffix('>').map_or(of, |of| of.split_once('<').unwrap().1);
            let repeated = if attribute.contains(", repeated,") { "*" } else { "" };
            let kind = match attribute.split([',', ' ']).next().unwrap() {
                "message" => of,
                "btree_map" => "map",
                "enumeration" => between(attribute, "\"", "\"").unwrap(),
                scalar => scalar,
            };
            let field = field.trim_start_matches("r#").to_ascii_lowercase();
            fields.insert((name.clone(), number), (field, format!("{repeated}{kind}")));
        }
    }
    (fields, words)
}

#[test]
fn the_messages_are_those_of_the_file_for_clients() {
    let ((theirs, their_words), (fields, words)) = (of_proto(), ours());
    assert!(theirs.len() > 100 && their_words.len() > 20);
    assert_eq!(fields, theirs);
    assert_eq!(words, their_words);
}
