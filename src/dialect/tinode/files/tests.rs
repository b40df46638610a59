use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::value::RawValue;

use super::{
    super::{
        cabinet::tests::cabinet,
        ids::Key,
        message::Range,
        mode::Level,
        record::{FILES, REFS, RefRecord, TOPICS, TopicRecord, USAGE, Usage, User},
    },
    form::{Bounds, Form, called, is_allowed, read},
    upload::{UPLOADS, UPLOADS_OF_ONE},
    *,
};
use crate::{
    config::secret::SECRET,
    domain::records::{Expect, MAX_PAGE, in_memory::InMemory},
};

const NAMED: &str = "abcdefghijklmnopqrstuv";
const OTHER: &str = "vutsrqponmlkjihgfedcba";

fn user(number: u64) -> UserId {
    UserId::of_number(number).unwrap()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn record(size: u64, at: u64) -> FileRecord {
    let (mime, name) = ("image/png".to_owned(), "a.png".to_owned());
    FileRecord { user: user(1), size, mime, name, at: Ts(at), free: true }
}

#[tokio::test]
async fn on_its_way_to_s3_a_file_is_in_a_folder_of_ours() {
    let data = tempfile::tempdir().unwrap();
    let uploads = data.path().join("new/uploads");
    let options = |uploads: &Path| FilesOptions {
        place: Where::S3 {
            endpoint: "http://127.0.0.1:1".into(),
            region: "here".into(),
            bucket: "files".into(),
            key: "KEY".into(),
            secret: (SECRET.parse)("secret").unwrap(),
            uploads: uploads.to_owned(),
        },
        types: vec!["*".into()],
        most: 100,
        quota: 100,
        keep_unused: Duration::from_secs(1),
    };
    let files = Files::new(&options(&uploads), &TaskTracker::new()).unwrap();
    assert_eq!(files.incoming, uploads);
    assert!(uploads.is_dir());
    let file = tempfile::NamedTempFile::new_in(&data).unwrap();
    let why = Files::new(&options(file.path()), &TaskTracker::new()).err().unwrap();
    assert!(why.contains(&file.path().display().to_string()), "{why}");
}

#[test]
fn types_have_patterns() {
    for (types, mime, allowed) in [
        (&["*"][..], "image/png", true),
        (&["*"], form::UNKNOWN, true),
        (&["image/*"], "image/png", true),
        (&["image/*"], "imagery/png", false),
        (&["image/*"], "text/plain", false),
        (&["image/png"], "image/png", true),
        (&["image/png"], "image/png; x=y", true),
        (&["image/png"], "image/pngx", false),
        (&["image/png", "audio/*"], "audio/ogg;codecs=opus", true),
        (&[], "image/png", false),
    ] {
        assert_eq!(is_allowed(&strings(types), mime), allowed, "{types:?} {mime}");
    }
}

#[test]
fn a_file_is_called_what_is_left_of_its_name() {
    for (name, expected) in [
        ("a.png", "a.png"),
        ("C:\\folder\\a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("a\r\nb\u{0}", "ab"),
        ("", ""),
        ("/", ""),
    ] {
        assert_eq!(called(name), expected, "{name}");
    }
    assert_eq!(called(&"é".repeat(500)).len(), 200);
}

/// A part of a form: its name, what else its head has, and what it is.
type Part<'a> = (&'a str, &'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, more, content) in parts {
        let head = format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}

/// Reads a form of 100 bytes at most, cut into pieces of this length, into `folder`.
async fn received(folder: &Path, types: &[&str], body: &[u8], piece: usize) -> Done<Form> {
    let pieces: Vec<Result<Bytes, Infallible>> =
        body.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let temporary = folder.join("temporary");
    let bounds = Bounds { most: 100, types: &strings(types), temporary: &temporary };
    read(stream::iter(pieces), "B", &bounds).await
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

const PNG: &str = "; filename=\"a b.png\"\r\nContent-Type: Image/PNG";

#[tokio::test]
async fn a_form_is_read_wherever_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let content = b"\r\n--A\r\n-\0\xff".repeat(9);
    let body = form(&[
        ("other", "", b"x"),
        ("file", PNG, &content),
        ("id", "", b"17"),
        ("file", PNG, b"another"),
        ("apikey", "", b"key"),
    ]);
    for piece in [1, 2, 7, 50, 10_000] {
        let form = received(folder.path(), &["image/*"], &body, piece).await.unwrap();
        assert_eq!((form.id.as_str(), form.key.as_str()), ("17", "key"));
        let file = form.file.unwrap().unwrap();
        assert_eq!((file.size, file.mime.as_str()), (content.len() as u64, "image/png"));
        assert_eq!(file.name, "a b.png");
        assert_eq!(std::fs::read(file.temporary.path()).unwrap(), content);
        drop(file);
        assert!(is_empty(folder.path()), "it is gone with whoever held it");
    }
}

#[tokio::test]
async fn what_is_refused_is_read_to_its_end_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let refused = async |types: &[&str], parts: &[Part<'_>], piece| {
        let form = received(folder.path(), types, &form(parts), piece).await.unwrap();
        assert!(is_empty(folder.path()));
        assert_eq!(form.id, "17", "it stands behind the file");
        form.file.map(|file| file.err().unwrap().code)
    };
    let id: Part<'_> = ("id", "", b"17");
    for piece in [13, 10_000] {
        let code = refused(&["*"], &[("file", PNG, &[b'x'; 101]), id], piece).await;
        assert_eq!(code, Some(Code::TooLarge));
        let code = refused(&["text/*"], &[("file", PNG, b"x"), id], piece).await;
        assert_eq!(code, Some(Code::UnsupportedMedia));
        assert_eq!(refused(&["*"], &[id], piece).await, None);
    }
    let form = form(&[("file", PNG, &[b'x'; 100]), ("id", "", &[b'1'; 300])]);
    let form = received(folder.path(), &["*"], &form, 13).await.unwrap();
    assert_eq!((form.id.as_str(), form.file.unwrap().unwrap().size), ("", 100));
}

#[tokio::test]
async fn what_is_no_form_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = form(&[("file", PNG, b"content"), ("id", "", b"1")]);
    let endless = [&b"--B\r\nX: "[..], &[b'x'; 100_000]].concat();
    let mut large = form(&[("x", "", &[b'x'; 200_000])]);
    large.extend_from_slice(&whole);
    // The pieces are small: nothing is found in so much before it is too large.
    for (body, code) in [
        (&b""[..], Code::Malformed),
        (b"no form", Code::Malformed),
        (&whole[..whole.len() - 20], Code::Malformed),
        (&whole[..90], Code::Malformed),
        (&endless, Code::Malformed),
        (&[b'x'; 100_000], Code::Malformed),
        (&large, Code::TooLarge),
    ] {
        let refusal = received(folder.path(), &["*"], body, 100).await.err().unwrap();
        assert_eq!(refusal.code, code);
        assert!(is_empty(folder.path()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_next_to_nothing_gives_up_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let body = form(&[("x", "", &[b'x'; 1000]), ("id", "", b"17")]);
    let (types, temporary) = (strings(&["*"]), folder.path().join("temporary"));
    let bounds = Bounds { most: 100, types: &types, temporary: &temporary };
    for (every, done) in [(1, None), (20, Some(Code::Unavailable))] {
        let pieces: Vec<Bytes> = body.chunks(100).map(Bytes::copy_from_slice).collect();
        let slow = stream::iter(pieces).then(move |piece| async move {
            tokio::time::sleep(Duration::from_secs(every)).await;
            Ok::<_, Infallible>(piece)
        });
        let read = read(Box::pin(slow), "B", &bounds).await;
        assert_eq!(read.map(|form| form.id), done.map_or(Ok("17".to_owned()), |c| Err(c.into())));
    }
}

#[tokio::test]
async fn a_temporary_file_is_never_written_over_another() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("temporary"), "there").unwrap();
    let body = form(&[("file", PNG, b"content")]);
    let form = received(folder.path(), &["*"], &body, 1000).await.unwrap();
    assert_eq!(form.file.unwrap().err().unwrap().code, Code::Unavailable);
    assert_eq!(std::fs::read(folder.path().join("temporary")).unwrap(), b"there");
}

#[test]
fn tokens_come_in_a_header_or_in_the_query() {
    for (header, query, token) in [
        (Some("Token +/8="), "", Some(&[0xfb, 0xff][..])),
        (Some("token +/8"), "", Some(&[0xfb, 0xff])),
        (None, "?auth=token&secret=%2B%2F8%3D", Some(&[0xfb, 0xff])),
        (None, "?auth=token&secret=+/8=", Some(&[0xfb, 0xff])),
        (None, "?auth=token&secret=-_8", Some(&[0xfb, 0xff])),
        (Some("Token AA=="), "?auth=token&secret=-_8", Some(&[0])),
        (Some("Basic AA=="), "", None),
        (Some("Token"), "", None),
        (Some("Token !"), "", None),
        (None, "?auth=basic&secret=AA", None),
        (None, "?secret=AA", None),
        (None, "", None),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTH, HeaderValue::from_static(header));
        }
        let uri: Uri = format!("/v0/file/u/{query}").parse().unwrap();
        assert_eq!(super::token(&uri, &headers).as_deref(), token, "{header:?} {query}");
    }
}

#[test]
fn browsers_are_told_what_to_make_of_a_file() {
    for (mime, name, expected) in [
        ("image/png", "a.png", "inline; filename*=UTF-8''a.png"),
        ("audio/ogg; codecs=opus", "", "inline"),
        ("video/mp4", "é \".mp4", "inline; filename*=UTF-8''%C3%A9%20%22.mp4"),
        ("image/svg+xml", "a.svg", "attachment; filename*=UTF-8''a.svg"),
        ("text/html", "", "attachment"),
        ("application/pdf", "a;b.pdf", "attachment; filename*=UTF-8''a%3Bb.pdf"),
    ] {
        let file = FileRecord { mime: mime.into(), name: name.into(), ..record(3, 1) };
        let mut into = HeaderMap::new();
        super::headers(&file, &mut into);
        assert_eq!(into[header::CONTENT_DISPOSITION], expected);
        assert_eq!(into[header::CONTENT_TYPE], mime);
        assert_eq!(into[header::CONTENT_LENGTH], "3");
        assert_eq!(into[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(into[header::CONTENT_SECURITY_POLICY], "sandbox");
    }
    let mut into = HeaderMap::new();
    super::headers(&FileRecord { mime: "a\nb".into(), ..record(0, 1) }, &mut into);
    assert_eq!(into[header::CONTENT_TYPE], form::UNKNOWN);
}

#[test]
fn names_of_files_are_no_paths() {
    for (name, good) in [
        (NAMED, true),
        ("0123456789abcdef-_ABCD", true),
        ("short", false),
        ("abcdefghijklmnopqrstu/", false),
        ("abcdefghijklmnopqrst..", false),
        ("abcdefghijklmnopqrsté", false),
        ("", false),
    ] {
        assert_eq!(is_name(name), good, "{name}");
    }
}

#[test]
fn so_many_upload_at_a_time_and_one_user_fewer() {
    let turns: Arc<Turns> = Arc::default();
    let own: Vec<_> = (0..UPLOADS_OF_ONE).map(|_| turns.begin(user(1)).unwrap()).collect();
    assert!(turns.begin(user(1)).is_none());
    let others: Vec<_> = (UPLOADS_OF_ONE..UPLOADS)
        .map(|at| turns.begin(user(2 + (at / UPLOADS_OF_ONE) as u64)).unwrap())
        .collect();
    assert!(turns.begin(user(1000)).is_none());
    drop(own);
    assert!(turns.begin(user(1000)).is_some());
    drop(others);
    assert!(turns.are_over());
}

/// A folder of files, and their records.
struct Shelf {
    root: tempfile::TempDir,
    files: Files,
    records: Arc<InMemory>,
    cabinet: Cabinet,
}

impl Shelf {
    fn new(quota: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let options = FilesOptions {
            place: Where::Folder(root.path().to_owned()),
            types: vec!["*".into()],
            most: 100,
            quota,
            keep_unused: Duration::from_secs(1),
        };
        let (records, cabinet) = cabinet();
        let files = Files::new(&options, &TaskTracker::new()).unwrap();
        Shelf { root, files, records, cabinet }
    }

    /// Keeps a file that was uploaded at this time.
    async fn keep(&self, name: &str, size: u64, at: u64) -> Done<()> {
        let from = self.files.incoming.join(name);
        std::fs::write(&from, "content").unwrap();
        self.files.keep(&self.cabinet, name, record(size, at), &from).await
    }

    async fn refer(&self, by: &str, names: &[&str], now: u64) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        refs::refer(&self.cabinet, by, &names, Ts(now)).await;
    }

    /// Sweeps as of this time; returns which files are there.
    async fn sweep(&self, now: u64) -> Vec<&'static str> {
        refs::sweep(&self.cabinet, &*self.files.place, Ts(now)).await.unwrap();
        let mut there = Vec::new();
        for name in [NAMED, OTHER] {
            let is_there = self.files.place.get(name).await.unwrap().is_some();
            assert_eq!(refs::file(&self.cabinet, name).await.unwrap().is_some(), is_there);
            there.extend(is_there.then_some(name));
        }
        there
    }

    async fn usage(&self) -> (u64, u64) {
        let read = self.cabinet.get::<Usage>(&USAGE, &user(1).to_string()).await.unwrap();
        read.map_or((0, 0), |read| (read.record.bytes, read.record.files))
    }
}

#[tokio::test]
async fn a_file_is_kept_as_long_as_something_refers_to_it() {
    let shelf = Shelf::new(1 << 20);
    shelf.keep(NAMED, 10_000, 100).await.unwrap();
    shelf.keep(OTHER, 1, 100).await.unwrap();
    assert_eq!(shelf.usage().await, (10_000 + 4096, 2));
    assert_eq!(shelf.sweep(100).await, [NAMED, OTHER], "not for long yet");
    shelf.refer("m/grp/1", &[NAMED, "unknownunknownunknownu"], 101).await;
    shelf.refer("u/usr", &[NAMED], 102).await;
    assert_eq!(shelf.records.count(&REFS), 2);
    assert_eq!(shelf.sweep(1000).await, [NAMED]);
    assert_eq!(shelf.usage().await, (10_000, 1));
    shelf.refer("m/grp/1", &[], 1000).await;
    assert_eq!(shelf.sweep(5000).await, [NAMED]);
    shelf.refer("u/usr", &[OTHER], 2000).await;
    assert_eq!(shelf.records.count(&REFS), 0, "nobody refers to what is gone");
    assert_eq!(shelf.sweep(2000).await, [NAMED]);
    assert_eq!(shelf.sweep(2001).await, [""; 0]);
    assert_eq!((shelf.usage().await, shelf.records.count(&FILES)), ((0, 0), 0));
    assert!(is_empty(&shelf.files.incoming));
}

#[tokio::test]
async fn what_is_referred_to_anew_is_told_apart() {
    let shelf = Shelf::new(1 << 20);
    shelf.keep(NAMED, 1, 100).await.unwrap();
    shelf.keep(OTHER, 1, 100).await.unwrap();
    shelf.refer("g/grp", &[NAMED], 100).await;
    shelf.refer("g/grp", &[NAMED, OTHER], 100).await;
    assert_eq!(shelf.sweep(500).await, [NAMED, OTHER]);
    shelf.refer("g/grp", &[OTHER], 300).await;
    assert_eq!(shelf.sweep(500).await, [OTHER]);
}

#[tokio::test]
async fn a_file_that_is_free_although_something_refers_to_it_stays() {
    let shelf = Shelf::new(1 << 20);
    shelf.keep(NAMED, 1, 100).await.unwrap();
    shelf.refer("g/grp", &[NAMED], 100).await;
    // As who takes a reference away leaves it where another one comes at the same moment.
    let body = record(1, 100).body();
    shelf.cabinet.put(&FILES, NAMED, body, Expect::Any, None).await.unwrap();
    assert_eq!(shelf.sweep(500).await, [NAMED]);
    assert!(!refs::file(&shelf.cabinet, NAMED).await.unwrap().unwrap().free);
}

#[tokio::test]
async fn what_is_condemned_is_gone_for_everybody_and_swept_to_its_end() {
    let shelf = Shelf::new(1 << 20);
    shelf.keep(NAMED, 1, 100).await.unwrap();
    let body = record(1, 0).body();
    shelf.cabinet.put(&FILES, NAMED, body, Expect::Any, None).await.unwrap();
    shelf.refer("g/grp", &[NAMED], 100).await;
    assert!(refs::file(&shelf.cabinet, NAMED).await.unwrap().is_none());
    assert_eq!(shelf.records.count(&REFS), 0);
    assert_eq!(shelf.sweep(100).await, [""; 0]);
    assert_eq!(shelf.usage().await, (0, 0));
}

/// A topic of two, in this life.
fn topic(life: &str) -> TopicRecord {
    TopicRecord::new(Key::pair(user(1), user(2)), life.to_owned(), Ts(1))
}

/// A log with these messages.
struct Log(Vec<u64>);

#[async_trait]
impl refs::Messages for Log {
    async fn gone(&self, _: &TopicRecord, seqs: &[u64]) -> Done<Vec<u64>> {
        Ok(seqs.iter().copied().filter(|seq| !self.0.contains(seq)).collect())
    }
}

#[tokio::test]
async fn what_belonged_to_a_message_that_was_erased_is_found() {
    let shelf = Shelf::new(1 << 20);
    let topic = topic("gLIFE");
    assert!(shelf.cabinet.add_topic(&topic).await.unwrap());
    for (name, seq) in [(NAMED, 1), (OTHER, 2)] {
        shelf.keep(name, 1, 100).await.unwrap();
        shelf.refer(&format!("m/{}/{seq}", topic.key.id()), &[name], 100).await;
    }
    for (there, files) in [(vec![1, 2], vec![NAMED, OTHER]), (vec![2], vec![OTHER])] {
        let checked = refs::check(&shelf.cabinet, &Log(there), None, Ts(1000)).await;
        assert_eq!(checked.unwrap(), None);
        assert_eq!(shelf.sweep(1001).await, files);
    }
}

#[tokio::test]
async fn what_belonged_to_a_message_that_is_gone_is_found() {
    let shelf = Shelf::new(1 << 20);
    let topic = topic("gLIFE");
    assert!(shelf.cabinet.add_topic(&topic).await.unwrap());
    for (name, seq) in [(NAMED, 1), (OTHER, 2)] {
        shelf.keep(name, 1, 100).await.unwrap();
        shelf.refer(&format!("m/{}/{seq}", topic.key.id()), &[name], 100).await;
    }
    let log = Log(vec![1, 2, 3]);
    let check = async |now| {
        assert_eq!(refs::check(&shelf.cabinet, &log, None, Ts(now)).await.unwrap(), None);
        shelf.sweep(now + 1).await
    };
    assert_eq!(check(1000).await, [NAMED, OTHER]);
    let first = [Range { low: 1, hi: 2 }];
    shelf.cabinet.change_dels("gLIFE", None, |dels| dels.add(1, &first)).await.unwrap();
    assert_eq!(check(2000).await, [OTHER]);
    shelf.cabinet.records.delete(&TOPICS, &topic.key.id(), None).await.unwrap();
    assert_eq!(check(3000).await, [""; 0]);
    assert_eq!(shelf.records.count(&REFS), 0);
}

#[tokio::test]
async fn all_references_are_looked_at_some_at_a_time() {
    let shelf = Shelf::new(1 << 20);
    let most = 4 * MAX_PAGE;
    for at in 0..=most {
        let by = format!("u/{at:05}");
        let body = RefRecord { file: NAMED.into(), by: by.clone() }.body();
        let id = format!("{NAMED}/{by}");
        shelf.cabinet.put(&REFS, &id, body, Expect::Any, None).await.unwrap();
    }
    let log = Log(Vec::new());
    let next = refs::check(&shelf.cabinet, &log, None, Ts(1)).await.unwrap();
    assert_eq!(next, Some(format!("{NAMED}/u/{:05}", most - 1)));
    assert_eq!(refs::check(&shelf.cabinet, &log, next, Ts(1)).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_user_or_its_group_shows_is_kept_though_nobody_has_noted_it() {
    let shelf = Shelf::new(1 << 20);
    let raw = |name| {
        let json = format!(r#"{{"photo":{{"ref":"/v0/file/s/{name}"}}}}"#);
        Some(RawValue::from_string(json).unwrap())
    };
    let ann = User { public: raw(NAMED), ..User::new(user(1), Level::Auth, Ts(1)) };
    assert!(shelf.cabinet.add_user(&ann).await.unwrap());
    let club = TopicRecord { public: raw(OTHER), owner: Some(user(1)), ..topic("gLIFE") };
    assert!(shelf.cabinet.add_topic(&club).await.unwrap());
    for name in [NAMED, OTHER] {
        shelf.keep(name, 1, 100).await.unwrap();
    }
    assert_eq!(shelf.sweep(1000).await, [NAMED, OTHER]);
    assert_eq!(shelf.records.count(&REFS), 2);
    shelf.refer(&format!("u/{}", user(1)), &[], 1000).await;
    shelf.refer(&format!("g/{}", club.key.id()), &[], 1000).await;
    shelf.cabinet.records.delete(&TOPICS, &club.key.id(), None).await.unwrap();
    assert_eq!(shelf.sweep(2000).await, [NAMED]);
}

#[tokio::test]
async fn a_user_has_a_quota() {
    let shelf = Shelf::new(10_000);
    assert!(refs::has_place(&shelf.cabinet, user(1), 10_000).await.unwrap());
    shelf.keep(NAMED, 1, 100).await.unwrap();
    let refused = shelf.keep(OTHER, 6000, 100).await.err().unwrap();
    assert_eq!(refused.code, Code::TooLarge);
    assert_eq!((shelf.usage().await, shelf.records.count(&FILES)), ((4096, 1), 1));
    shelf.keep(OTHER, 5000, 100).await.unwrap();
    assert!(!refs::has_place(&shelf.cabinet, user(1), 10_000).await.unwrap());
    assert!(refs::has_place(&shelf.cabinet, user(2), 10_000).await.unwrap());
}

#[tokio::test]
async fn of_a_file_that_can_not_be_kept_nothing_is_left() {
    let shelf = Shelf::new(10_000);
    let from = shelf.root.path().join("none");
    let refused = shelf.files.keep(&shelf.cabinet, NAMED, record(1, 1), &from).await;
    assert_eq!(refused.err().unwrap().code, Code::Unavailable);
    assert_eq!((shelf.usage().await, shelf.records.count(&FILES)), ((0, 0), 0));
}
