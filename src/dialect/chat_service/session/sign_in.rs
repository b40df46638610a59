//! How a client gets in: its CONNECT is answered, and it is found out who it is.
use std::sync::{Arc, atomic::Ordering::Release};

use super::Session;
use crate::{
    dialect::chat_service::{
        chat::Seat,
        error::Error,
        hook::{self, Body, Login},
        names,
        notice::Notice,
        value::Value,
    },
    domain::{
        access::Rights,
        ids::Uid,
        presence::{Revocations, Roster},
    },
    lock::lock,
    socketio::{Client, Refusal},
};

/// Who somebody is, and what is told to it besides.
struct SignedIn {
    user: Uid,
    data: Option<Value>,
}

impl Session {
    /// Answers CONNECT: when the server has started, and if the middleware does not refuse it.
    pub(super) async fn let_in(self: Arc<Self>) {
        let chat = &self.chat;
        if chat.started.subscribe().wait_for(|started| *started).await.is_err() {
            return; // the server ends
        }
        if chat.caller.calls("middleware") {
            let read = |answer: &str| hook::Answer::read(answer)?.refusal();
            let refused = match chat.ask("middleware", self.about("middleware"), read).await {
                Ok(refused) => refused,
                Err(error) => Some(error.text()),
            };
            if let Some(refused) = refused {
                self.socket.reject(&Refusal::new(refused));
                return;
            }
        }
        if self.socket.admit() {
            self.connected();
        }
    }

    /// The body of a hook that decides about the client.
    fn about(&self, hook: &str) -> String {
        Body::new(hook, &self.chat.options.instance)
            .text("id", &self.id)
            .json("handshake", &self.handshake.json())
            .end()
    }

    pub(super) async fn sign_in(self: Arc<Self>) {
        let signed_in = if self.chat.caller.calls("onConnect") {
            self.sign_in_by_hook().await
        } else {
            self.sign_in_by_token().await
        };
        let mut state = self.state();
        let effects = match signed_in {
            Ok(SignedIn { user, data }) => {
                let told = user.clone();
                let effects = state.signed_in(Ok(user));
                if state.user().is_some() {
                    // Under the lock: nothing that it does comes before it is told.
                    let (user, data) = (told.as_str(), data.as_ref());
                    self.tell(&Notice::LoginConfirmed { user, id: &self.id, data });
                    state.early().into_iter().for_each(|frames| self.socket.send(frames));
                    self.confirmed.store(true, Release);
                }
                effects
            }
            Err(error) => state.signed_in(Err(error)),
        };
        drop(state);
        self.perform(effects);
    }

    async fn sign_in_by_hook(self: &Arc<Self>) -> Result<SignedIn, Error> {
        let login = self.chat.ask("onConnect", self.about("onConnect"), Login::read).await??;
        let user = names::uid(&login.user)?;
        self.chat.make_user(user.as_str()).await?;
        let roster = self.enter(&user, None).await?;
        self.announce(&user, &roster).await;
        Ok(SignedIn { user, data: login.data })
    }

    async fn sign_in_by_token(self: &Arc<Self>) -> Result<SignedIn, Error> {
        let chat = &self.chat;
        let said = self.handshake.credentials()?;
        let admission = chat.check_token(&said, self.handshake.address()).await?;
        let user = admission.user.clone();
        chat.make_user(user.as_str()).await?;
        let roster = self.enter(&user, admission.checked()).await?;
        match chat.confirm(admission, roster.check_again).await {
            Ok(rights) => self.rests_on(&user, rights),
            Err(error) => {
                chat.leave_inbox(&user, &**self).await;
                self.forget(&user).await;
                return Err(error);
            }
        }
        self.announce(&user, &roster).await;
        Ok(SignedIn { user, data: None })
    }

    /// It has signed in by a token, and stays for as long as that holds.
    fn rests_on(self: &Arc<Self>, user: &Uid, rights: Option<Arc<Rights>>) {
        if rights.as_ref().is_some_and(|rights| rights.expires_at.is_some()) {
            lock(&self.chat.expiring).insert(self.connection, self.me.clone());
        }
        if let Some((user, rights)) = self.grounds.are(user, rights) {
            self.look_for_revocation(user, rights);
        }
        self.look_at_expiry();
    }

    /// Enters the user's inbox.
    async fn enter(
        self: &Arc<Self>,
        user: &Uid,
        checked: Option<Revocations>,
    ) -> Result<Roster, Error> {
        // The store may lose it, or an administrator end it.
        self.chat.hub.register_guest(self.connection, self.clone());
        let entered = self.chat.enter_inbox(user, &**self, checked).await;
        entered.inspect_err(|_| self.chat.hub.unregister(self.connection))
    }

    /// Tells the user's other sockets of this one.
    async fn announce(&self, user: &Uid, roster: &Roster) {
        let echo = Notice::SocketConnectEcho { id: &self.id, connected: roster.connections };
        self.chat.echo(user.as_str(), &echo, Some(self)).await;
    }
}
