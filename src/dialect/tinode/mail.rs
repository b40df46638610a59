//! How codes get to users: by mail, or by a hook of a business server where no mail is configured.
use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{self, TlsParameters},
    },
};
use serde_json::json;
use tokio::{sync::Semaphore, time::timeout};

use crate::{config::SecretText, domain::calls::Calls, throttle::throttled};

/// Time for a mail, from the connection to its end. Each has a connection of its own: mails are
/// few.
const TIME: Duration = Duration::from_secs(10);
/// Mails that are on their way at once. What waits for its turn for too long is not sent.
const AT_ONCE: usize = 16;
/// The hook that is called instead.
const HOOK: &str = "credential";

/// How mail is sent.
#[derive(Debug, Clone)]
pub struct MailOptions {
    /// Who takes mail.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is protected.
    pub tls: Tls,
    /// Who signs in there; empty: nobody.
    pub user: String,
    /// With this.
    pub password: SecretText,
    /// The address that mail comes from.
    pub from: String,
}

/// How a connection for mail is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "the command is called so")]
pub enum Tls {
    /// Not at all.
    Off,
    /// From the command STARTTLS on, which the other side has to know.
    StartTls,
    /// From the beginning.
    Implicit,
}

/// Sends codes.
pub(super) struct Mailer(Option<Post>);

struct Post {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    turns: Semaphore,
}

impl Mailer {
    /// As configured. None: the hook is called.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(options: Option<&MailOptions>) -> Result<Self, String> {
        let Some(options) = options else { return Ok(Mailer(None)) };
        let from = options.from.parse().map_err(|error| format!("smtp_from: {error}"))?;
        let parameters = || {
            TlsParameters::new(options.host.clone()).map_err(|error| format!("smtp_host: {error}"))
        };
        let tls = match options.tls {
            Tls::Off => client::Tls::None,
            Tls::StartTls => client::Tls::Required(parameters()?),
            Tls::Implicit => client::Tls::Wrapper(parameters()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&options.host)
            .port(options.port)
            .tls(tls)
            .timeout(Some(TIME));
        if !options.user.is_empty() {
            let password = options.password.expose().to_owned();
            builder = builder.credentials(Credentials::new(options.user.clone(), password));
        }
        let turns = Semaphore::new(AT_ONCE);
        Ok(Mailer(Some(Post { transport: builder.build(), from, turns })))
    }

    /// Whether codes can be sent at all.
    pub fn can_send(&self, caller: &dyn Calls) -> bool {
        self.0.is_some() || caller.calls(HOOK)
    }

    /// Sends a code to this address; `lang` is the language of the client, which the hook is told.
    /// False: it was not sent, which is in the log.
    pub async fn send_code(&self, caller: &dyn Calls, to: &str, code: &str, lang: &str) -> bool {
        match &self.0 {
            Some(post) => post.send(to, code).await,
            None => {
                let body = json!({
                    "hook": HOOK, "method": "email", "to": to, "code": code, "lang": lang,
                });
                caller.call(HOOK, body.to_string()).await.is_some()
            }
        }
    }
}

impl Post {
    async fn send(&self, to: &str, code: &str) -> bool {
        let Some(message) = self.message(to, code) else { return false };
        let sending = async {
            let _turn = self.turns.acquire().await; // it is never closed
            self.transport.send(message).await
        };
        let sent = match timeout(TIME, sending).await {
            Ok(Ok(_)) => return true,
            // What the other side says may quote the address, and is left out.
            Ok(Err(error)) if error.is_permanent() => "it was refused",
            Ok(Err(error)) if error.is_transient() => "it was refused for now",
            Ok(Err(error)) if error.is_timeout() => "it took too long",
            Ok(Err(error)) if error.is_tls() => "the connection could not be protected",
            Ok(Err(_)) => "the connection failed",
            Err(_) => "it took too long",
        };
        throttled!(warn, why = sent, "a mail with a code could not be sent");
        false
    }

    /// None: that is no address.
    fn message(&self, to: &str, code: &str) -> Option<Message> {
        let body = format!(
            "Your confirmation code is {code}\r\n\r\nIt is good for 24 hours. If you did not ask \
             for it, you can ignore this message.\r\n"
        );
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.parse().ok()?))
            .subject("Your confirmation code")
            .message_id(None)
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .ok()
    }
}

/// An address in the form in which it is kept, if it is one.
pub(super) fn address(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    // RFC 5321, 4.5.3.1.3.
    let is_address = text.len() <= 254 && text.parse::<lettre::Address>().is_ok();
    is_address.then_some(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::{config::secret::SECRET, domain::calls::NoCalls, lock::lock};

    fn options(from: &str, tls: Tls) -> MailOptions {
        MailOptions {
            host: "mail.example".into(),
            port: 587,
            tls,
            user: "u".into(),
            password: (SECRET.parse)("p").unwrap(),
            from: from.into(),
        }
    }

    #[test]
    fn a_mail_says_the_code_and_no_more() {
        let mailer = Mailer::new(Some(&options("Us <us@example.com>", Tls::Off))).unwrap();
        let post = mailer.0.as_ref().unwrap();
        let mail = post.message("ann@example.com", "012345").unwrap().formatted();
        let mail = String::from_utf8(mail).unwrap();
        for part in ["To: ann@example.com\r\n", "From: Us <us@example.com>\r\n", "012345"] {
            assert!(mail.contains(part), "{mail}");
        }
        assert!(post.message("ann@example.com\r\nBcc: x@y", "1").is_none());
        assert!(mailer.can_send(&NoCalls));
    }

    #[test]
    fn what_is_configured_wrongly_is_said() {
        for tls in [Tls::Off, Tls::StartTls, Tls::Implicit] {
            assert!(Mailer::new(Some(&options("us@example.com", tls))).is_ok());
        }
        let why = Mailer::new(Some(&options("us", Tls::Off))).err().unwrap();
        assert!(why.starts_with("smtp_from: "), "{why}");
    }

    #[test]
    fn addresses_are_kept_in_one_form() {
        for (text, kept) in [
            (" Ann@Example.com ", Some("ann@example.com")),
            ("ann", None),
            ("a@b\r\nRCPT TO:<c@d>", None),
            ("", None),
            ("a b@c.d", None),
        ] {
            assert_eq!(address(text).as_deref(), kept, "{text}");
        }
        assert!(address(&format!("{}@b.c", "a".repeat(300))).is_none());
    }

    struct Hook(Mutex<Vec<String>>);

    #[async_trait]
    impl Calls for Hook {
        fn calls(&self, hook: &str) -> bool {
            hook == HOOK
        }
        async fn call(&self, hook: &str, body: String) -> Option<String> {
            assert!(self.calls(hook));
            lock(&self.0).push(body);
            Some(String::new())
        }
    }

    #[tokio::test]
    async fn without_mail_a_hook_is_called() {
        let (mailer, hook) = (Mailer::new(None).unwrap(), Hook(Mutex::default()));
        assert!(!mailer.can_send(&NoCalls) && mailer.can_send(&hook));
        assert!(!mailer.send_code(&NoCalls, "a@b.c", "1", "en").await);
        assert!(mailer.send_code(&hook, "a@b.c", "\"1", "en").await);
        let body =
            r#"{"hook":"credential","code":"\"1","lang":"en","method":"email","to":"a@b.c"}"#;
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(&lock(&hook.0)[0]), read(body));
    }
}
