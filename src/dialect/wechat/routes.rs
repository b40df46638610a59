//! The HTTP side: accounts and contacts. Any method will do, and the query is not read, as with the
//! original. Everything but registering and logging in needs a token: also to learn that a path is
//! none.
use std::{net::IpAddr, sync::Arc};

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    Wechat, access,
    body::{self, Fields},
    card::{Card, Info},
    error::Failure,
    inbox,
    password::{Salt, Verdict},
    rate::Act,
    registration::Registration,
    socket,
    token::BadToken,
    users::{Rest, User, new_id},
};
use crate::{
    domain::token::Realm,
    net::{Connection, listener::refusal, upgrade},
    throttle::throttled,
};

/// What stands before the token in a WebSocket's path.
const SOCKETS: &str = "/wechat/";

type Answer = Result<Response<Body>, Failure>;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Register,
    LogIn,
    Info,
    Search,
    AddContact,
    Turn,
}

impl Route {
    /// The route of a path, with a slash at its end or without.
    fn of(path: &str) -> Option<Self> {
        match path.strip_suffix('/').unwrap_or(path) {
            "/api/reg" => Some(Route::Register),
            "/api/login" => Some(Route::LogIn),
            "/api/info" => Some(Route::Info),
            "/api/search" => Some(Route::Search),
            "/api/contact/add" => Some(Route::AddContact),
            "/api/turn" => Some(Route::Turn),
            _ => None,
        }
    }
}

/// The token in the path of a WebSocket; nothing where the path is none for WebSockets.
pub(super) fn token(path: &str) -> Option<&str> {
    path.strip_prefix(SOCKETS).filter(|token| !token.is_empty() && !token.contains('/'))
}

/// Whether a request asks for the server's health, as on every listener.
pub(super) fn is_health(request: &Request<Incoming>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && matches!(request.uri().path(), "/livez" | "/readyz")
}

/// Answers a request.
pub(super) async fn answer(
    wechat: &Arc<Wechat>,
    request: Request<Incoming>,
    connection: Arc<Connection>,
) -> Response<Body> {
    let is_preflight = access::is_preflight(request.method(), request.headers());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_handshake = upgrade::is_asked(&request);
    // A handshake needs a place instead, once it is known that nothing is wrong with it.
    let asked = if is_handshake { Ok(()) } else { connection.ask(request.headers()) };
    let answer = match asked {
        Err(full) => Ok(refusal(full)),
        Ok(()) if is_handshake => websocket(wechat, request, &connection),
        Ok(()) if is_preflight => Ok(empty()),
        Ok(()) => respond(wechat, request, &connection).await,
    };
    let mut response = answer.unwrap_or_else(Failure::response);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    access::allow(headers, origin.as_ref(), &wechat.options.origins, is_preflight);
    response
}

/// A handshake that was not the first request of its connection, as proxies send it; or one that is
/// not wanted.
fn websocket(
    wechat: &Arc<Wechat>,
    mut request: Request<Incoming>,
    connection: &Connection,
) -> Answer {
    let token = token(request.uri().path()).ok_or(Failure::NoRoute)?.to_owned();
    if !wechat.hub.is_ready() {
        return Err(Failure::Ending);
    }
    if !wechat.progress.is_over() {
        return Err(Failure::Starting);
    }
    let (agreed, response) = upgrade::agree(&mut request)?;
    if let Err(full) = connection.sit(request.headers()) {
        return Ok(refusal(full));
    }
    let (here, address) = (wechat.clone(), connection.client(request.headers()));
    wechat.hub.tasks.spawn(async move {
        if let Some(stream) = agreed.stream().await {
            socket::serve(here, token, address, stream).await;
        }
    });
    Ok(response)
}

async fn respond(
    wechat: &Arc<Wechat>,
    request: Request<Incoming>,
    connection: &Connection,
) -> Answer {
    if !wechat.progress.is_over() {
        return Err(Failure::Starting);
    }
    let (route, address) = (Route::of(request.uri().path()), connection.client(request.headers()));
    match route {
        Some(Route::Register) => return wechat.register(address, request).await,
        Some(Route::LogIn) => return wechat.log_in(address, request).await,
        Some(Route::Info | Route::Search | Route::AddContact | Route::Turn) | None => {}
    }
    let token = access::token(request.headers(), &wechat.options.origins);
    let token = token.ok_or(BadToken::Missing)?.to_owned();
    let user = wechat.authenticate(&token).await?;
    match route {
        Some(Route::Info) => Ok(success(&json!({ "info": Info::of(&user) }))),
        Some(Route::Search) => wechat.search(address, &user, request).await,
        Some(Route::AddContact) => wechat.add_contact(address, &user, request).await,
        Some(Route::Turn) => {
            Ok(success(&wechat.options.turn.tell(&user.phone, wechat.hub.clock.unix())))
        }
        Some(Route::Register | Route::LogIn) | None => Err(Failure::NoRoute),
    }
}

impl Wechat {
    /// The user whose token this is.
    async fn authenticate(&self, token: &str) -> Result<User, Failure> {
        let claims = self.keys.verify(token, self.hub.clock.unix())?;
        let read = self.users.get(&claims.phone).await?;
        let user = read.map(|read| read.user).filter(|user| user.takes(claims.issued));
        user.ok_or_else(|| BadToken::Invalid.into())
    }

    /// Somebody does something that is limited.
    fn admit(&self, address: IpAddr, act: Act) -> Result<(), Failure> {
        self.rates.admit(address, act, Instant::now()).map_err(|wait| {
            match act {
                Act::LogIn => self.hub.metrics.sign_in_refused("rate limit"),
                Act::Register | Act::Search | Act::AddContact => {}
            }
            Failure::TooOften(wait)
        })
    }

    async fn register(&self, address: IpAddr, request: Request<Incoming>) -> Answer {
        self.admit(address, Act::Register)?;
        let mut registration = Registration::read(&body::read(request).await?)?;
        // Nobody's password is worked on in vain; who wins is decided when the user is added.
        if self.users.get(&registration.phone).await?.is_some() {
            return Err(Failure::Taken);
        }
        let password = std::mem::take(&mut registration.password);
        let salt = Salt::random(&*self.hub.rng)?;
        let password = self.passwords.hash(password, salt).await?;
        let rest = Rest { id: new_id(&*self.hub.rng)?, password, contacts: Vec::new() };
        self.add(User::new(registration, rest)).await?;
        Ok(json(StatusCode::OK, r#"{"code":0,"message":""}"#.to_owned()))
    }

    /// Adds a user who registers. Whoever had a contact who was deleted may go on writing for a
    /// while: none of that is the newcomer's.
    async fn add(&self, user: User) -> Result<(), Failure> {
        let room = inbox::room(&user.phone).map_err(|_| Failure::Internal)?;
        let was_deleted = self.users.was_deleted(&user.phone).await?;
        if was_deleted {
            self.hub.clear(&room).await?;
        }
        if !self.users.register(user).await? {
            return Err(Failure::Taken);
        }
        // What came in between. The newcomer is there now, so this can't be asked for again.
        if was_deleted && let Err(error) = self.hub.clear(&room).await {
            throttled!(warn, %error, "an inbox could not be emptied for its next user");
        }
        Ok(())
    }

    async fn log_in(&self, address: IpAddr, request: Request<Incoming>) -> Answer {
        self.admit(address, Act::LogIn)?;
        let fields = body::read(request).await?;
        let phone = fields.text("phone").ok_or(Failure::NotRegistered)?;
        // As the core calls the user: another dialect may have one of that name.
        let uid = socket::uid(phone).map_err(|_| Failure::NotRegistered)?;
        let account = uid.as_str();
        let attempts = &self.hub.attempts;
        attempts.may(address, Realm::User, account, Instant::now()).map_err(|wait| {
            self.hub.metrics.sign_in_refused("too many failures");
            Failure::TooManyFailures(wait)
        })?;
        // Before the user is read: if its tokens are taken back meanwhile, this one is, too.
        let now = self.hub.clock.unix();
        match self.check_password(phone, &fields).await {
            Ok(user) => {
                attempts.succeeded(address, Realm::User, account);
                let token = self.keys.sign(&user.phone, &user.nick, user.issue(now));
                let info = Info::with_contacts(&user);
                Ok(success(&json!({ "info": info, "token": token })))
            }
            Err(failure) => {
                if matches!(failure, Failure::NotRegistered | Failure::WrongPassword) {
                    attempts.failed(address, Realm::User, account, Instant::now());
                    self.hub.metrics.sign_in_refused("wrong token");
                }
                if failure == Failure::Busy {
                    self.hub.metrics.sign_in_refused("too busy");
                }
                Err(failure)
            }
        }
    }

    /// The user with this phone, if the password is its own. Where that is kept in an old form, it
    /// is kept anew.
    async fn check_password(&self, phone: &str, fields: &Fields) -> Result<User, Failure> {
        let read = self.users.get(phone).await?.ok_or(Failure::NotRegistered)?;
        let password = fields.text("password").ok_or(Failure::WrongPassword)?.to_owned();
        let (kept, salt) = (read.user.password.clone(), Salt::random(&*self.hub.rng)?);
        match self.passwords.judge(password, kept, salt).await? {
            Verdict::Wrong => return Err(Failure::WrongPassword),
            Verdict::Right => {}
            Verdict::Replace(hash) => {
                // Else it is done the next time.
                if let Err(failure) = self.users.replace_password(&read, hash).await {
                    throttled!(warn, %failure, "a password could not be kept in today's form");
                }
            }
        }
        Ok(read.user)
    }

    async fn search(&self, address: IpAddr, me: &User, request: Request<Incoming>) -> Answer {
        self.admit(address, Act::Search)?;
        let fields = body::read(request).await?;
        let keyword = fields.text("keyword").unwrap_or_default();
        let _building = self.hub.begin_page().await?; // few are read and put together at a time
        let found = self.users.search(keyword, &me.phone).await?;
        let cards: Vec<Card<'_>> = found.iter().map(Card::of).collect();
        Ok(success(&Found { cards }))
    }

    async fn add_contact(&self, address: IpAddr, me: &User, request: Request<Incoming>) -> Answer {
        self.admit(address, Act::AddContact)?;
        let fields = body::read(request).await?;
        let is_changed = match fields.text("phone") {
            Some(other) => {
                let is_changed = self.users.befriend(&me.phone, other).await?;
                if is_changed {
                    inbox::contacts_changed(self, &me.phone).await;
                    inbox::contacts_changed(self, other).await;
                }
                is_changed
            }
            None => false,
        };
        Ok(with_code(u32::from(!is_changed), &json!({})))
    }
}

/// Whom a search has found.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(rename = "searchResult")]
    cards: Vec<Card<'a>>,
}

/// An answer with data.
#[derive(Serialize)]
struct Told<'a, T> {
    code: u32,
    message: &'static str,
    data: &'a T,
}

fn success(data: &impl Serialize) -> Response<Body> {
    with_code(0, data)
}

fn with_code(code: u32, data: &impl Serialize) -> Response<Body> {
    // Texts, numbers and lists of such: always JSON.
    let body = serde_json::to_string(&Told { code, message: "success", data });
    json(StatusCode::OK, body.unwrap_or_default())
}

/// A response of JSON.
pub(super) fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn empty() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wechat::users::tests::user;

    #[test]
    fn routes_are_known_with_a_slash_and_without() {
        for (path, route) in [
            ("/api/reg", Some(Route::Register)),
            ("/api/login/", Some(Route::LogIn)),
            ("/api/info", Some(Route::Info)),
            ("/api/search", Some(Route::Search)),
            ("/api/contact/add", Some(Route::AddContact)),
            ("/api/turn", Some(Route::Turn)),
            ("/api/turn//", None),
            ("/api/contact", None),
            ("/api/", None),
            ("/", None),
            ("/json", None),
            ("//api/reg", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn a_socket_s_path_has_a_token() {
        for (path, found) in [
            ("/wechat/a.b.c", Some("a.b.c")),
            ("/wechat/x", Some("x")),
            ("/wechat/", None),
            ("/wechat", None),
            ("/wechat/a/b", None),
            ("/x/wechat/a", None),
            ("/", None),
        ] {
            assert_eq!(token(path), found, "{path}");
        }
    }

    async fn text(response: Response<Body>) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn answers_are_the_original_s() {
        assert_eq!(
            text(with_code(1, &json!({}))).await,
            r#"{"code":1,"message":"success","data":{}}"#
        );
        assert_eq!(
            text(success(&Found { cards: vec![] })).await,
            r#"{"code":0,"message":"success","data":{"searchResult":[]}}"#
        );
        let bob = user("13800138001");
        let found = text(success(&Found { cards: vec![Card::of(&bob)] })).await;
        assert!(found.contains(r#""searchResult":[{"_id":"0123"#), "{found}");
        assert_eq!(
            text(Failure::Taken.response()).await,
            r#"{"code":100004,"message":"手机号已注册"}"#
        );
        assert_eq!(
            text(Failure::from(BadToken::Missing).response()).await,
            r#"{"error":"Authentication Error"}"#
        );
    }
}
