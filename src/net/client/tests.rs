use serde_json::json;
use support::{
    receiver::{Receiver, Reply},
    tls,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn client() -> Client {
    Client::new(None, TaskTracker::new()).unwrap()
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"{}")).unwrap()
}

/// Enough for a busy machine, and less than for ever.
const BOUNDS: Bounds = Bounds { time: support::BOUND, bytes: 64 << 10 };

#[tokio::test]
async fn a_connection_is_used_again() {
    let receiver = Receiver::start(|request| Reply::text(200, request.body.clone())).await;
    let client = client();
    for _ in 0..3 {
        let answer = client.call(post(&receiver.url()), BOUNDS).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]));
    }
    let requests = receiver.requests();
    assert_eq!(requests[0].line, "POST /hooks");
    assert!(requests.iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_no_failure() {
    let receiver = Receiver::start(|_| Reply::ThenClosed(Box::new(Reply::text(200, "")))).await;
    let client = client();
    for _ in 0..20 {
        client.call(post(&receiver.url()), BOUNDS).await.unwrap();
    }
    assert_eq!(receiver.requests().len(), 20, "one answer, one request");
}

#[tokio::test]
async fn a_request_is_seen_once_at_most_also_where_its_connection_ends_without_an_answer() {
    // Each connection's second request meets its end: whether it was worked on nobody can know.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let receiver = Receiver::start(move |request| {
        let is_first = seen.lock().unwrap().insert(request.connection);
        if is_first { Reply::text(200, "") } else { Reply::Raw(Vec::new()) }
    })
    .await;
    let client = client();
    for round in 1..=3 {
        client.call(post(&receiver.url()), BOUNDS).await.unwrap();
        let error = client.call(post(&receiver.url()), BOUNDS).await.unwrap_err();
        assert!(matches!(error, CallError::Broken(_)), "{error}");
        assert_eq!(receiver.requests().len(), 2 * round);
    }
}

#[tokio::test]
async fn a_new_connection_that_is_closed_without_an_answer_is_not_tried_again() {
    let receiver = Receiver::start(|_| Reply::Raw(Vec::new())).await;
    let error = client().call(post(&receiver.url()), BOUNDS).await.unwrap_err();
    assert!(matches!(error, CallError::Broken(_)), "{error}");
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_trickles_is_late_however_much_of_it_came() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let trickling = TaskTracker::new().spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap(); // what it is asked is of no interest
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n";
        let mut sent = stream.write_all(head).await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            sent = stream.write_all(b"x").await;
        }
    });
    let time = Duration::from_millis(200);
    let error = client().call(post(&url), Bounds { time, ..BOUNDS }).await.unwrap_err();
    assert_eq!(error, CallError::Timeout(time));
    support::soon("the connection's end", trickling).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_can_not_be_made_is_given_up() {
    // It accepts, and says nothing of TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let bounds = Bounds { time: CONNECT * 2, ..BOUNDS };
    let error = client().call(post(&url), bounds).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(_)), "{error}");
}

#[tokio::test]
async fn every_status_but_those_of_success_is_an_error_and_no_redirect_is_followed() {
    let receiver = Receiver::start(|request| {
        let status = request.body.parse().unwrap();
        let headers = vec![("location", "/elsewhere".into()), ("retry-after", "7".into())];
        Reply::Full { status, headers, body: "<html>".repeat(3) }
    })
    .await;
    let client = client();
    let call = async |status: u16| {
        let request = Request::post(receiver.url()).body(Bytes::from(status.to_string())).unwrap();
        client.call(request, BOUNDS).await
    };
    for status in [301, 302, 303, 307, 308, 400, 404, 410, 429, 500, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        let expected = CallError::Status { status, retry_after: Some("7".into()) };
        assert_eq!(call(status.as_u16()).await.unwrap_err(), expected);
    }
    assert_eq!(call(202).await.unwrap().status, StatusCode::ACCEPTED);
    let requests = receiver.requests();
    assert!(requests.iter().all(|r| r.line == "POST /hooks" && r.connection == 0));
}

#[tokio::test]
async fn an_answer_has_a_bound_in_size_and_in_time() {
    let receiver = Receiver::start(|request| match request.body.as_str() {
        "exact" => Reply::text(200, "x".repeat(64 << 10)),
        "large" => Reply::text(200, "x".repeat(10 << 20)),
        "large failure" => Reply::text(500, "x".repeat(10 << 20)),
        _ => Reply::Hang,
    })
    .await;
    let client = client();
    let call = async |body: &'static str, bounds| {
        let request = Request::post(receiver.url()).body(Bytes::from_static(body.as_bytes()));
        client.call(request.unwrap(), bounds).await
    };
    assert_eq!(call("exact", BOUNDS).await.unwrap().body.len(), 64 << 10);
    let status = StatusCode::OK;
    let error = call("large", BOUNDS).await.unwrap_err();
    assert_eq!(error, CallError::TooLarge { status, most: 64 << 10 });
    assert_eq!(call("large failure", BOUNDS).await.unwrap_err().label(), "status");
    let time = Duration::from_millis(50);
    let error = call("hang", Bounds { time, ..BOUNDS }).await.unwrap_err();
    assert_eq!(error, CallError::Timeout(time));
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_no_http_is_an_error() {
    let receiver = Receiver::start(|request| match request.body.as_str() {
        "half" => Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()),
        _ => Reply::Raw(b"SSH-2.0-server\r\n\r\n".to_vec()),
    })
    .await;
    for body in ["half", "other"] {
        let request = Request::post(receiver.url()).body(Bytes::from_static(body.as_bytes()));
        let error = client().call(request.unwrap(), BOUNDS).await.unwrap_err();
        assert!(matches!(error, CallError::Broken(_)), "{body}: {error}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_from_somebody_else_there() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let error = client().call(post(&format!("http://{gone}/")), BOUNDS).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(_)), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let [certificate, key, other] = ["c", "k", "o"].map(|name| folder.path().join(name));
    tls::issue(&certificate, &key);
    tls::issue(&other, &folder.path().join("unused"));
    let script = |_: &_| Reply::Json(json!({}));
    let receiver = Receiver::under_tls(&certificate, &key, script).await;
    for authorities in [None, Some(&*other)] {
        let client = Client::new(authorities, TaskTracker::new()).unwrap();
        let error = client.call(post(&receiver.url()), BOUNDS).await.unwrap_err();
        assert!(matches!(error, CallError::Tls(_)), "{error}");
    }
    assert_eq!(receiver.requests().len(), 0, "nothing was sent");
    let client = Client::new(Some(&certificate), TaskTracker::new()).unwrap();
    client.call(post(&receiver.url()), BOUNDS).await.unwrap();
    let plain = receiver.url().replace("https", "http");
    let error = client.call(post(&plain), BOUNDS).await.unwrap_err();
    assert!(matches!(error, CallError::Broken(_)), "{error}");
}

#[test]
fn a_file_without_authorities_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    for content in
        [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let error = Client::new(Some(&file), TaskTracker::new()).err().unwrap().to_string();
        assert!(error.contains("authorities.pem"), "{error}");
    }
}
