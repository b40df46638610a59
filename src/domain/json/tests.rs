use super::*;

fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).unwrap()
}

#[test]
fn names_follow_the_rules_of_the_original() {
    let text = |json| uid(raw(json)).map(|u| u.as_str().to_owned());
    assert_eq!(text(r#""ann""#).as_deref(), Some("ann"));
    assert_eq!(text("1000").as_deref(), Some("1000"));
    assert_eq!(text("1e3").as_deref(), Some("1000"));
    assert_eq!(text("1.50").as_deref(), Some("1.5"));
    assert_eq!(text("-7").as_deref(), Some("-7"));
    assert_eq!(text(r#""0""#).as_deref(), Some("0"));
    assert_eq!(text("9007199254740992").as_deref(), Some("9007199254740992"));
    for missing in ["0", "-0", "0.0", r#""""#, "null", "true", "[]", "{}", "1e300", r#""a\u0000b""#]
    {
        assert_eq!(text(missing), None, "{missing}");
    }
}

#[test]
fn offsets_are_read_as_parse_int_reads_them() {
    for (json, value) in [
        ("200", 200),
        (r#""200""#, 200),
        (r#"" 12abc""#, 12),
        (r#""0x10""#, 16),
        ("7.9", 7),
        ("-3", 0),
        (r#""-3""#, 0),
        (r#""abc""#, 0),
        ("null", 0),
        ("1e300", u64::MAX),
        (r#""99999999999999999999999""#, u64::MAX),
    ] {
        assert_eq!(offset(raw(json)), value, "{json}");
    }
}

#[test]
fn the_last_of_duplicate_keys_wins_and_keeps_the_first_place() {
    let object = Object::parse(r#"{"a":1,"b":2,"a":{"x":[1]}}"#).unwrap();
    let fields: Vec<_> = object.iter().map(|(k, v)| (k.to_owned(), v.get())).collect();
    assert_eq!(fields, [("a".into(), r#"{"x":[1]}"#), ("b".into(), "2")]);

    let many: String = (0..50).map(|i| format!(r#""k{i}":{i},"#)).collect();
    let json = format!(r#"{{{many}"k3":"last","k49":0}}"#);
    let object = Object::parse(&json).unwrap();
    assert_eq!((object.iter().count(), object.get("k3").unwrap().get()), (50, r#""last""#));
    assert!(Object::parse("[1]").is_none());
}

#[test]
fn ids_become_strings_as_in_javascript() {
    for (json, text) in [
        (r#""a\n""#, "a\n"),
        ("1.0", "1"),
        ("1e21", "1e+21"),
        ("null", "null"),
        ("true", "true"),
        ("{\"a\":1}", "[object Object]"),
        ("[1, null]", "[1, null]"),
    ] {
        assert_eq!(to_js_string(raw(json)), text, "{json}");
    }
}

#[test]
fn calls_are_an_array_with_a_name() {
    let call = Call::parse(r#"["m\u0073g",{"a":1},2,[3]]"#).unwrap();
    assert_eq!((call.name.as_ref(), call.argument.unwrap().get()), ("msg", r#"{"a":1}"#));
    assert!(Call::parse(r#"["leave"]"#).unwrap().argument.is_none());
    for broken in ["[]", "[1]", "{}", r#"["a",]"#, r#"["a",{]"#, ""] {
        assert!(Call::parse(broken).is_none(), "{broken}");
    }
    // Nesting costs no stack.
    let deep = format!(r#"["msg",{}1{}]"#, "[".repeat(200_000), "]".repeat(200_000));
    assert!(Call::parse(&deep).is_some());
}

#[test]
fn depth_counts_objects_and_arrays_outside_strings() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(!nested_deeper_than(&nested(128), 128));
    assert!(nested_deeper_than(&nested(129), 128));
    assert!(!nested_deeper_than(&format!(r#"["{}\"["]"#, "[".repeat(500)), 128));
    assert!(!nested_deeper_than(&format!("[{}]", "[],".repeat(500).trim_end_matches(',')), 128));
}

#[test]
fn lengths_are_those_of_json_stringify() {
    for (json, length) in [
        (r#"{ "a" : [ 1 , 2 ] }"#, r#"{"a":[1,2]}"#.len()),
        (r#""é😀""#, 5),
        (r#""\u00e9\ud83d\ude00""#, 5),
        (r#""\ud83d""#, 8),
        (r#""\ude00x""#, 9),
        (r#""\ud83dx""#, 9),
        (r#""\u0001\n\/\"\u000a""#, 6 + 2 + 1 + 2 + 2 + 2),
        ("1e20", 21),
        ("1.500", 3),
        ("-0", 1),
        ("1e999", 4),
        ("null", 4),
    ] {
        assert_eq!(stringified_length(json), length, "{json}");
    }
}
