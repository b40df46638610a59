use super::*;

#[test]
fn a_salt_has_32_bytes_or_is_not_there() {
    for (text, good) in [
        (String::new(), true),
        (STANDARD.encode([7; 32]), true),
        (STANDARD.encode([7; 31]), false),
        (STANDARD.encode([7; 33]), false),
        (STANDARD.encode([7; 32]).trim_end_matches('=').to_owned(), false),
        ("***".to_owned(), false),
    ] {
        assert_eq!((SALT_SECRET.parse)(&text).is_ok(), good, "{text}");
    }
    let why = (SALT_SECRET.parse)("c2VjcmV0").unwrap_err();
    assert_eq!(why, "expected base64 of 32 bytes, or empty");
}

#[test]
fn a_key_is_long_or_is_not_there() {
    let long = "x".repeat(KEY);
    for (text, good) in [("", true), (&*long, true), (&long[1..], false), ("***", false)] {
        assert_eq!((TOKEN_SECRET.parse)(text).is_ok(), good, "{text}");
    }
    let why = (TOKEN_SECRET.parse)("secret").unwrap_err();
    assert_eq!(why, "expected 32 characters or more, or empty", "it is not repeated");
}

#[test]
fn lists_know_their_words() {
    for (text, credential, hook, file) in [
        ("", true, true, false),
        ("email", true, false, false),
        ("credential, push", false, true, false),
        ("tel", false, false, false),
        ("*", false, false, true),
        ("image/*,application/pdf, text/x-a.b+c", false, false, true),
        ("image", false, false, false),
        ("image/", false, false, false),
        ("*/png", false, false, false),
        ("image/p*", false, false, false),
    ] {
        assert_eq!((CREDENTIAL_NAMES.parse)(text).is_ok(), credential, "{text}");
        assert_eq!((HOOK_NAMES.parse)(text).is_ok(), hook, "{text}");
        assert_eq!((FILE_PATTERNS.parse)(text).is_ok(), file, "{text}");
    }
}

#[test]
fn a_quota_may_be_more_than_any_machine_s_memory() {
    for (text, bytes, printed) in [
        ("500MiB", 500 << 20, "500 MiB"),
        ("1 GiB", 1 << 30, "1 GiB"),
        ("20GiB", 20 << 30, "20 GiB"),
        ("1048576 GiB", 1 << 50, "1048576 GiB"),
        ("4000", 4000, "4 KB"),
    ] {
        let read = (QUOTA.parse)(text).unwrap();
        assert_eq!((read.bytes(), &*(QUOTA.print)(&read)), (bytes, printed));
        assert_eq!((QUOTA.parse)(printed), Ok(read), "it is read again");
    }
    for text in ["0", "0 GiB", "1048577 GiB", "-1 GiB", "x GiB", "GiB", ""] {
        assert!((QUOTA.parse)(text).is_err(), "{text}");
    }
}

#[test]
fn numbers_have_bounds() {
    for (text, members, tag, tags, port) in [
        ("0", false, false, false, false),
        ("1", false, true, true, true),
        ("2", true, true, true, true),
        ("101", true, true, false, true),
        ("201", true, false, false, true),
        ("1001", false, false, false, true),
        ("65536", false, false, false, false),
        ("x", false, false, false, false),
    ] {
        assert_eq!((MEMBERS.parse)(text).is_ok(), members, "{text}");
        assert_eq!((TAG.parse)(text).is_ok(), tag, "{text}");
        assert_eq!((TAGS.parse)(text).is_ok(), tags, "{text}");
        assert_eq!((PORT.parse)(text).is_ok(), port, "{text}");
    }
    for (text, good) in [("128 KiB", true), ("512 KiB", true), ("513 KiB", false), ("0", false)] {
        assert_eq!((REQUEST.parse)(text).is_ok(), good, "{text}");
    }
}
