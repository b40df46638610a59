//! How a client gets in: its CONNECT is answered, and it is found out who it is.
use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering::Release},
};

use super::Session;
use crate::{
    dialect::chat_service::{
        chat::Seat,
        error::Error,
        hook::{self, Body, Login, Malformed},
        names,
        notice::Notice,
        state::NotIn,
        value::Value,
    },
    domain::{
        access::Rights,
        ids::Uid,
        presence::{Revocations, Roster},
    },
    lock::lock,
    reason::Reason,
    socketio::{Client, Refusal},
};

impl From<Error> for NotIn {
    /// The store is out, or slow: the client is to come back, which it does not do when it is told
    /// that it is nobody.
    fn from(error: Error) -> Self {
        match error {
            Error::Timeout => NotIn::Unknown,
            error => NotIn::Refused(error),
        }
    }
}

/// Who somebody is, and what is told to it besides.
struct SignedIn {
    user: Uid,
    data: Option<Value>,
}

impl Session {
    /// Answers CONNECT: when the server has started, and if the middleware does not refuse it.
    pub(super) async fn let_in(self: Arc<Self>) {
        let chat = &self.chat;
        let started = async {
            let mut started = chat.started.subscribe();
            started.wait_for(|started| *started).await.is_ok()
        };
        if self.while_there(started).await != Some(true) {
            return; // the client has not waited, or the server ends
        }
        if chat.caller.calls("middleware") {
            let read = |answer: &str| hook::Answer::read(answer)?.refusal();
            let refused = match self.ask("middleware", read).await {
                Some(Ok(refused)) => refused,
                Some(Err(error)) => Some(error.text()),
                None if self.socket.has_left() => return,
                None => {
                    self.socket.drop(Reason::Flood);
                    return;
                }
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

    /// Asks a hook about the client. Of one connection one is asked about at a time, also where it
    /// has gone meanwhile. `None`: the client has not waited, or waits for too long.
    async fn ask<T>(
        &self,
        hook: &str,
        read: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> Option<Result<T, Error>> {
        let turn = self.chat.asking.wait(self.socket.session());
        let _turn = self.while_there(turn).await??;
        Some(self.chat.ask(hook, self.about(hook), read).await)
    }

    /// Waits for something for the client, until that is gone.
    pub(super) async fn while_there<T>(&self, work: impl Future<Output = T> + Send) -> Option<T> {
        let mut gone = pin!(self.gone.notified());
        gone.as_mut().enable(); // before it is looked at: so neither is missed
        if self.socket.has_left() {
            return None;
        }
        tokio::select! {
            biased;
            () = gone => None,
            done = work => Some(done),
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
        let signed_in = if self.socket.has_left() {
            Err(NotIn::Unknown)
        } else if self.chat.caller.calls("onConnect") {
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
            Err(why) => state.signed_in(Err(why)),
        };
        drop(state);
        self.perform(effects);
    }

    async fn sign_in_by_hook(self: &Arc<Self>) -> Result<SignedIn, NotIn> {
        let answer = self.ask("onConnect", Login::read).await.ok_or(NotIn::Unknown)?;
        // Whatever code the hook gives, it is the hook's answer.
        let login = answer.and_then(|login| login).map_err(NotIn::Refused)?;
        let user = names::uid(&login.user).map_err(NotIn::Refused)?;
        if self.socket.has_left() {
            return Err(NotIn::Unknown);
        }
        let roster = self.enter(&user, None).await?;
        self.is_made(&user).await?;
        self.announce(&user, &roster).await;
        Ok(SignedIn { user, data: login.data })
    }

    async fn sign_in_by_token(self: &Arc<Self>) -> Result<SignedIn, NotIn> {
        let chat = &self.chat;
        let said = self.handshake.credentials()?;
        let admission = chat.check_token(&said, self.handshake.address()).await?;
        let user = admission.user.clone();
        let roster = self.enter(&user, admission.checked()).await?;
        match chat.confirm(admission, roster.check_again).await {
            Ok(rights) => {
                self.is_made(&user).await?;
                self.rests_on(&user, rights);
            }
            Err(error) => {
                self.withdraw(&user).await;
                return Err(error.into());
            }
        }
        self.announce(&user, &roster).await;
        Ok(SignedIn { user, data: None })
    }

    /// Makes the user whose inbox it has entered. Behind that: who deletes a user either finds it
    /// there, or is done before.
    async fn is_made(self: &Arc<Self>, user: &Uid) -> Result<(), NotIn> {
        if let Err(error) = self.chat.make_user(user.as_str()).await {
            self.withdraw(user).await;
            return Err(error.into());
        }
        Ok(())
    }

    /// It has entered an inbox, and is not to be there.
    async fn withdraw(self: &Arc<Self>, user: &Uid) {
        self.chat.leave_inbox(user, &**self).await;
        self.forget(user).await;
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
    ) -> Result<Roster, NotIn> {
        self.entering.get_or_init(|| user.clone());
        // The store may lose it, or an administrator end it.
        self.chat.hub.register_guest(self.connection, self.clone());
        let entered = self.chat.enter_inbox(user, &**self, checked).await;
        let entered = entered.inspect_err(|_| self.chat.hub.unregister(self.connection));
        Ok(entered?)
    }

    /// Tells the user's other sockets of this one.
    async fn announce(&self, user: &Uid, roster: &Roster) {
        let echo = Notice::SocketConnectEcho { id: &self.id, connected: roster.connections };
        self.chat.echo(user.as_str(), &echo, Some(self)).await;
    }
}
