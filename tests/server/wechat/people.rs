//! Users of react-wechat: registered, with a token, and with sockets that read all the time.
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::gotapi::client::{Client, Got};
use support::{
    http::{self, Answer},
    server::{Server, Setup},
    wire::socket::Socket,
};

/// The code that keeps clients away.
pub const STAY_AWAY: u16 = 4000;
/// What the server tells first, if nothing waits, and again when contacts change.
const CONTACTS: &str = r#"{"type":"wechat/save","#;
const PASSWORD: &str = "a password of somebody";

/// A server with this dialect, which bears any number of registrations.
pub fn setup() -> Setup {
    Setup::new()
        .env("AO_WECHAT__LISTEN", "127.0.0.1:0")
        .env("AO_WECHAT__JWT_SECRET", "known to all nodes of these tests alone")
        .env("AO_WECHAT__RATE_LIMIT", "off")
}

/// Where a server has it.
pub fn place(server: &Server) -> SocketAddr {
    server.address("wechat")
}

/// A text that nothing else has, of digits.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("13{:09}", NEXT.fetch_add(1, Relaxed))
}

/// POST of these fields to a route. `headers`: more of them.
pub async fn ask(
    address: SocketAddr,
    route: &str,
    fields: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    http::request(address, "POST", &format!("/api/{route}"), &headers, &fields.to_string()).await
}

/// As [`ask`], by somebody who is signed in.
pub async fn ask_as(address: SocketAddr, token: &str, route: &str, fields: &Value) -> Answer {
    ask(address, route, fields, &[("authorization", &format!("Bearer {token}"))]).await
}

/// The answer to a log-in.
pub async fn log_in(
    address: SocketAddr,
    phone: &str,
    password: &str,
    headers: &[(&str, &str)],
) -> Answer {
    ask(address, "login", &json!({ "phone": phone, "password": password }), headers).await
}

/// The answer to a registration.
pub async fn register(address: SocketAddr, phone: &str, headers: &[(&str, &str)]) -> Answer {
    let fields = json!({
        "phone": phone, "password": PASSWORD, "nick": "nick", "userName": "name", "email": "@",
    });
    ask(address, "reg", &fields, headers).await
}

/// Somebody who is registered, and has a token.
pub struct Person {
    pub phone: String,
    pub token: String,
}

impl Person {
    /// A new one.
    pub async fn new(server: &Server) -> Person {
        Self::called(server, unique()).await
    }

    /// A new one with this phone.
    pub async fn called(server: &Server, phone: String) -> Person {
        let answer = register(place(server), &phone, &[]).await;
        assert_eq!(answer.json(), json!({ "code": 0, "message": "" }));
        let mut person = Person { phone, token: String::new() };
        let answer = person.logs_in(server, &[]).await;
        answer.json()["data"]["token"].as_str().expect("a token").clone_into(&mut person.token);
        person
    }

    /// The answer to a log-in with the right password.
    pub async fn logs_in(&self, server: &Server, headers: &[(&str, &str)]) -> Answer {
        log_in(place(server), &self.phone, PASSWORD, headers).await
    }

    /// Both have each other as a contact from now on.
    pub async fn befriend(&self, server: &Server, other: &Person) {
        let fields = json!({ "phone": other.phone });
        let answer = ask_as(place(server), &self.token, "contact/add", &fields).await;
        assert_eq!(answer.json()["code"], 0, "{}", answer.body);
    }

    /// The answer to a question that needs a token.
    pub async fn info(&self, server: &Server) -> Answer {
        ask_as(place(server), &self.token, "info", &json!({})).await
    }

    /// A handshake.
    pub async fn upgrade(
        &self,
        server: &Server,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, Error> {
        Socket::upgrade(place(server), &format!("/wechat/{}", self.token), headers).await
    }

    /// Comes, and has been told everything that is told first.
    pub async fn comes(&self, server: &Server) -> Phone {
        Phone::of(self.upgrade(server, &[]).await.unwrap()).await
    }

    /// A message for somebody.
    pub fn message(&self, to: &Person, content: &str) -> String {
        let payload =
            json!({ "to": to.phone, "from": self.phone, "content": content, "timestamp": 1 });
        json!({ "type": "wechat/saveMessage", "payload": payload }).to_string()
    }

    /// A frame of a call, for somebody.
    pub fn signal(&self, to: &Person, candidate: &str) -> String {
        let payload = json!({ "from": self.phone, "to": to.phone, "candidate": candidate });
        json!({ "type": "new-ice-candidate", "payload": payload }).to_string()
    }
}

/// A socket that reads all the time. That contacts have changed it does not tell.
pub struct Phone {
    client: Client,
    /// The contents of what waited, in their order by sender.
    pub waited: Vec<String>,
}

impl Phone {
    /// One that was let in.
    pub async fn of(socket: Socket) -> Phone {
        let (mut client, mut waited) = (Client::of(socket), Vec::new());
        loop {
            let text = client.text().await;
            if text.starts_with(CONTACTS) {
                return Phone { client, waited };
            }
            let frame: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(frame["type"], "wechat/saveConversation");
            for conversation in frame["payload"]["conversations"].as_object().unwrap().values() {
                let items = conversation["items"].as_array().unwrap();
                let contents = items.iter().map(|item| item["content"].as_str().unwrap());
                waited.extend(contents.map(str::to_owned));
            }
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.client.send(text).await;
    }

    /// Sends texts in one go.
    pub async fn send_all(&mut self, texts: impl IntoIterator<Item = String>) {
        self.client.send_all(texts).await;
    }

    /// What comes next.
    pub async fn next(&mut self) -> Got {
        loop {
            match self.client.next().await {
                Got::Text(text) if text.starts_with(CONTACTS) => {}
                other => return other,
            }
        }
    }

    /// Fails unless this comes next.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let got = self.next().await;
            assert_eq!(got, Got::Text(text.to_owned()), "{caller}");
        }
    }

    /// Reads to the end; its code, if it has one.
    pub async fn end(&mut self) -> Option<u16> {
        loop {
            if let Got::End(code) = self.next().await {
                return code;
            }
        }
    }
}

/// Two who are there, and have each other as contacts.
pub struct Pair {
    pub ann: Person,
    pub ben: Person,
    pub from_ann: Phone,
    pub from_ben: Phone,
}

impl Pair {
    pub async fn come(server: &Server) -> Pair {
        let (ann, ben) = tokio::join!(Person::new(server), Person::new(server));
        ann.befriend(server, &ben).await;
        let (from_ann, from_ben) = tokio::join!(ann.comes(server), ben.comes(server));
        Pair { ann, ben, from_ann, from_ben }
    }

    /// Each hears what the other one says, and nothing else came before it.
    pub async fn are_well(&mut self) {
        let Pair { ann, ben, .. } = self;
        let (to_ben, to_ann) = (ann.message(ben, &unique()), ben.message(ann, &unique()));
        self.from_ann.send(&to_ben).await;
        self.from_ben.expect(&to_ben).await;
        self.from_ben.send(&to_ann).await;
        self.from_ann.expect(&to_ann).await;
        self.are_calling().await;
    }

    /// As [`Pair::are_well`], with frames of a call alone.
    pub async fn are_calling(&mut self) {
        let Pair { ann, ben, .. } = self;
        let (to_ben, to_ann) = (ann.signal(ben, &unique()), ben.signal(ann, &unique()));
        self.from_ann.send(&to_ben).await;
        self.from_ben.expect(&to_ben).await;
        self.from_ben.send(&to_ann).await;
        self.from_ann.expect(&to_ann).await;
    }
}

/// What a metric says now; 0 where it is not there.
pub async fn counted(server: &Server, series: &str) -> f64 {
    let page = http::get(server.api(), "/metrics").await.body;
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(value).unwrap_or(0.0)
}

/// The server answers, and none of its tasks has panicked.
pub async fn unharmed(server: &Server) {
    assert_eq!(http::get(place(server), "/readyz").await.status, 200);
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}
