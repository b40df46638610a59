use super::*;

fn read(json: &str) -> Request<'_> {
    parse(json).unwrap_or_else(|_| panic!("{json}"))
}

fn raw(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get)
}

#[test]
fn what_is_no_request_is_malformed() {
    for bad in [
        "",
        "x",
        "0",
        "11",
        " 1",
        "[]",
        "{}",
        "null",
        r#"{"hi":null}"#,
        r#"{"nosuch":{"id":"1"}}"#,
        r#"{"hi":[]}"#,
        r#"{"hi":"1"}"#,
        r#"{"hi":{"id":1}}"#,
        r#"{"hi":{"id":"1","ver":0.25}}"#,
        r#"{"hi":{"id":"1","bkg":"true"}}"#,
        r#"{"hi":{"id":"1"}"#,
        r#"{"hi":{"id":"1"}} x"#,
        r#"{"login":{"id":"1","scheme":"basic","secret":"!!"}}"#,
        r#"{"login":{"id":"1","scheme":"basic","secret":"YQ"}}"#,
        r#"{"acc":{"id":"1","tags":"a"}}"#,
        r#"{"acc":{"id":"1","cred":{"meth":"email"}}}"#,
        r#"{"acc":{"id":"1","desc":{"defacs":"JR"}}}"#,
        r#"{"sub":{"id":"1","topic":"me","get":"desc"}}"#,
        r#"{"sub":{"id":"1","topic":"me","get":{"what":["desc"]}}}"#,
        r#"{"sub":{"id":"1","topic":7}}"#,
        r#"{"leave":{"topic":"me","unsub":1}}"#,
        r#"{"pub":{"topic":"me","noecho":"yes"}}"#,
        r#"{"pub":{"topic":"me","head":[]}}"#,
        r#"{"pub":{"topic":"me","head":"x"}}"#,
        r#"{"get":{"topic":"me","what":"desc","desc":{"ims":"yesterday"}}}"#,
        r#"{"get":{"topic":"me","what":"data","data":{"since":"1"}}}"#,
        r#"{"get":{"topic":"me","what":"data","data":{"limit":1.5}}}"#,
        r#"{"get":{"topic":"me","what":"data","data":{"ranges":{"low":1}}}}"#,
        r#"{"set":{"topic":"me","tags":[1]}}"#,
        r#"{"set":{"topic":"me","aux":[]}}"#,
        r#"{"set":{"topic":"me","sub":{"mode":5}}}"#,
        r#"{"del":{"topic":"me","what":"msg","delseq":[1]}}"#,
        r#"{"note":{"topic":"me","what":"read","seq":"3"}}"#,
        r#"{"note":{"id":7,"topic":"me","what":"kp"}}"#,
        r#"{"hi":{"id":"1"},"pub":5}"#,
        r#"{"hi":{"id":"1"},"extra":[]}"#,
        r#"{"hi":{"id":"1"},"extra":{"attachments":"x"}}"#,
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn keys_come_in_any_case_but_not_in_what_clients_keep() {
    let json = r#"{"SUB":{"ID":"1","Topic":"new1","SET":{"Desc":{"PUBLIC":{"Fn":"X"},"DefAcs":{"AUTH":"JR"}},"Tags":["A"],"AUX":{"K":1}},
        "Get":{"WHAT":"desc  DATA data x","Data":{"Ranges":[{"LOW":1,"Hi":2}],"LIMIT":3}}},"Extra":{"Attachments":["u"]}}"#;
    let Request { id, verb: Verb::Sub(sub), attachments } = read(json) else { panic!("no sub") };
    assert_eq!((&*id, &*sub.topic, attachments.as_slice()), ("1", "new1", &["u".into()][..]));
    assert_eq!(raw(sub.set.desc.public), Some(r#"{"Fn":"X"}"#));
    assert_eq!(raw(sub.set.aux), Some(r#"{"K":1}"#));
    assert_eq!((&*sub.set.desc.auth, &*sub.set.desc.anon), ("JR", ""));
    assert_eq!(sub.set.tags.unwrap(), ["A"]);
    let get = sub.get.unwrap();
    assert_eq!(get.what, What::DESC | What::DATA);
    assert_eq!((get.data.limit, get.data.ranges), (3, vec![Given { low: 1, hi: 2 }]));
    assert_eq!((get.desc, get.del), (Options::default(), Options::default()));
}

#[test]
fn null_is_missing_and_of_doubled_keys_the_last_counts() {
    let json =
        r#"{"hi":null,"pub":{"id":null,"topic":"a","topic":"b","head":null,"content":null}}"#;
    let Request { id, verb: Verb::Pub(publish), .. } = read(json) else { panic!("no pub") };
    assert_eq!((&*id, &*publish.topic), ("", "b"));
    assert!(publish.head.is_none() && publish.content.is_none());
    let json = r#"{"pub":{"topic":"t","head":{},"content":{"A": null}}}"#;
    let Verb::Pub(publish) = read(json).verb else { panic!("no pub") };
    assert!(publish.head.is_none());
    assert_eq!(raw(publish.content), Some(r#"{"A": null}"#));
    let Verb::Set { set, .. } = read(r#"{"set":{"topic":"t","tags":null,"aux":{}}}"#).verb else {
        panic!("no set")
    };
    assert!(set.tags.is_none() && set.aux.is_none() && set.sub.is_none());
}

#[test]
fn a_message_is_borrowed() {
    let json = r#"{"pub":{"id":"1","topic":"usrAQAAAAAAAAA","head":{"mime":"text/x-drafty"},"content":"hé"}}"#;
    let request = read(json);
    assert!(matches!(request.id, Cow::Borrowed("1")));
    assert!(request.attachments.is_empty() && request.attachments.capacity() == 0);
    let Verb::Pub(publish) = request.verb else { panic!("no pub") };
    assert!(matches!(publish.topic, Cow::Borrowed(_)));
    let within = |raw: Option<&RawValue>| {
        json.as_bytes().as_ptr_range().contains(&raw.unwrap().get().as_ptr())
    };
    assert!(within(publish.head) && within(publish.content));
}

#[test]
fn of_several_verbs_the_first_in_order_counts() {
    for (json, topic) in [
        (r#"{"note":{"topic":"n"},"pub":{"topic":"p"}}"#, Some("p")),
        (r#"{"del":{"topic":"d"},"get":{"topic":"g"},"set":{"topic":"s"}}"#, Some("g")),
        (r#"{"leave":{"topic":"l"},"sub":{"topic":"s"}}"#, Some("s")),
        (r#"{"sub":{"topic":"s"},"hi":{}}"#, None),
    ] {
        assert_eq!(read(json).verb.topic(), topic, "{json}");
    }
}

#[test]
fn accounts_and_deletions_have_all_their_fields() {
    let json = r#"{"acc":{"id":"1","user":"newX","scheme":"basic","secret":"YTpi","login":true,"tags":[],"cred":[{"meth":"email","val":"a@b","resp":"1","params":{}}],"token":"YQ==","state":"ok"}}"#;
    let Verb::Acc(acc) = read(json).verb else { panic!("no acc") };
    let cred = Cred { method: "email".into(), value: "a@b".into(), response: "1".into() };
    assert_eq!((&*acc.user, &*acc.scheme, acc.secret.as_slice()), ("newX", "basic", &b"a:b"[..]));
    assert_eq!((acc.login, acc.token.as_slice(), &*acc.state), (true, &b"a"[..], "ok"));
    assert_eq!((acc.creds.as_slice(), acc.tags), (&[cred.clone()][..], Some(Vec::new())));
    for (what, deleting) in [
        ("msg", Deleting::Msg),
        ("topic", Deleting::Topic),
        ("sub", Deleting::Sub),
        ("user", Deleting::User),
        ("cred", Deleting::Cred),
        ("", Deleting::Unknown),
        ("Msg", Deleting::Unknown),
    ] {
        let json = format!(
            r#"{{"del":{{"topic":"t","what":"{what}","delseq":[{{"low":4,"hi":6}},{{"low":2}}],"user":"u","cred":{{"meth":"email","val":"a@b","resp":"1"}},"hard":true}}}}"#
        );
        let Verb::Del(del) = read(&json).verb else { panic!("no del") };
        assert_eq!((del.what, del.hard, &*del.user), (deleting, true, "u"));
        assert_eq!(del.ranges, [Given { low: 4, hi: 6 }, Given { low: 2, hi: 0 }]);
        assert_eq!(del.cred, Some(cred.clone()));
    }
}

#[test]
fn words_that_are_not_known_ask_for_nothing() {
    assert!(What::parse("").is_empty() && What::parse("all Desc desc,sub").is_empty());
    let all = What::parse("desc sub tags cred aux data del");
    assert!(all.has(What::DEL) && all.has(What::DESC | What::AUX) && !What::DESC.has(all));
}
