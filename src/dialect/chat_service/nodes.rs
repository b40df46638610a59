//! What is asked of the node that a socket is on, and told to all nodes.
//!
//! A command for a socket that is on another node is done there: only there it can enter a room, or
//! be left out where others of its user are told.
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{
    arguments::Given,
    chat::{Answer, By, Chat},
    command::Command,
    error::Error,
    hook::Body,
    names,
    neighbour::{File, Order, Question, Reply, Word, read, written},
    sessions::{Ending, LocalSocket},
    value::Value,
};
use crate::{
    domain::{
        cluster::Lost,
        ids::Uid,
        nodes::{Listener, NoAnswer},
    },
    throttle::throttled,
};

/// The dialect's name among the nodes.
pub(super) const NAME: &str = "chat-service";
/// How much longer a command may take on another node than an answer: it waits for its turn, and
/// hooks are asked.
const COMMAND: Duration = Duration::from_secs(30);
/// Sockets of a dead node that are told of at once.
const AT_ONCE: usize = 64;
/// Bytes of ids and names that end a page of sockets.
const PAGE: usize = 1 << 20;

/// The dialect on this node, as the others reach it.
pub(super) struct Neighbour(Weak<Chat>);

impl Neighbour {
    /// From now on this node answers.
    pub fn listen(chat: &Arc<Chat>) {
        chat.hub.listen(NAME, Arc::new(Neighbour(Arc::downgrade(chat))));
    }
}

#[async_trait]
impl Listener for Neighbour {
    async fn asked(&self, question: Bytes) -> Bytes {
        let reply = match (self.0.upgrade(), read(&question)) {
            (Some(chat), Some(question)) => chat.reply(question).await,
            (_, _) => Reply::Unknown,
        };
        // What can't be written is nothing that anybody understands.
        written(&reply).unwrap_or_default()
    }

    async fn told(&self, word: Bytes) {
        match (self.0.upgrade(), read(&word)) {
            (Some(chat), Some(word)) => chat.heed(word).await,
            (Some(_), None) => {
                throttled!(warn, "another node told something that is not understood");
            }
            (None, _) => {}
        }
    }

    async fn lost(&self, lost: Arc<[Lost]>) {
        let Some(chat) = self.0.upgrade() else { return };
        let told = |lost| {
            let chat = &chat;
            async move { chat.tell_of_lost(lost).await }
        };
        stream::iter(&*lost).for_each_concurrent(AT_ONCE, told).await;
    }
}

/// A command for one socket of a user.
pub(super) struct Ordered<'a> {
    pub user: &'a Uid,
    pub id: &'a str,
    pub command: Command,
    pub given: Given<'a>,
    pub bypass_permissions: bool,
    pub bypass_hooks: bool,
}

/// What another node did not do. `None`: there is no such node.
fn failed(error: NoAnswer) -> Option<Error> {
    match error {
        NoAnswer::Gone => None,
        NoAnswer::Late | NoAnswer::Busy => Some(Error::Timeout),
        NoAnswer::Store(error) => Some(error.into()), // which tells the log
    }
}

/// Another node answered something that makes no sense, as it is of another version.
fn not_understood() -> Error {
    throttled!(warn, "another node gave an answer that is not understood");
    Error::Timeout
}

impl Chat {
    /// Asks the dialect on a node. `None`: there is no such node, or it does not have the dialect.
    ///
    /// # Errors
    /// There is no answer in time, or none that is understood.
    pub async fn ask_node(
        &self,
        node: &str,
        question: &Question,
        within: Duration,
    ) -> Result<Option<Reply>, Error> {
        match self.hub.ask(node, NAME, written(question)?, within).await {
            Ok(answer) => match read(&answer) {
                Some(Reply::Unknown) | None => Err(not_understood()),
                Some(reply) => Ok(Some(reply)),
            },
            Err(error) => failed(error).map_or(Ok(None), Err),
        }
    }

    /// Asks all other nodes at once. What each answers is as [`Chat::ask_node`] has it.
    ///
    /// # Errors
    /// It is not known which nodes there are.
    pub async fn ask_others(
        &self,
        question: &Question,
    ) -> Result<Vec<Result<Option<Reply>, Error>>, Error> {
        let mut nodes = self.hub.nodes().await?;
        nodes.retain(|node| !node.this);
        let within = self.options.bus_ack_timeout;
        let mut asked = Vec::with_capacity(nodes.len());
        for node in &nodes {
            asked.push(self.ask_node(&node.id, question, within));
        }
        Ok(join_all(asked).await)
    }

    /// Has a socket do a command, on the node that it is on.
    ///
    /// # Errors
    /// It is no socket of the user, its node does not answer, or why the command is not done.
    pub async fn order(&self, order: Ordered<'_>) -> Result<Vec<Answer>, Error> {
        if let Some(socket) = self.sessions.of(order.user, order.id) {
            return self.obey(&*socket, order).await;
        }
        let invalid = || Error::InvalidSocket(order.id.to_owned());
        let sockets = self.hub.whereabouts(order.user).await?;
        let mut sockets = sockets
            .iter()
            .filter(|found| found.socket.as_ref().is_some_and(|socket| *socket.0 == *order.id));
        let there = sockets.next().ok_or_else(invalid)?;
        let arguments = order.given.arguments.iter().map(|raw| (*raw).to_owned()).collect();
        let question = Question::Command(Order {
            user: order.user.as_str().to_owned(),
            id: order.id.to_owned(),
            command: order.command.name().to_owned(),
            arguments,
            files: order.given.attachments.iter().cloned().map(File).collect(),
            bypass_permissions: order.bypass_permissions,
            bypass_hooks: order.bypass_hooks,
        });
        let within = COMMAND + self.options.bus_ack_timeout;
        match self.ask_node(&there.node, &question, within).await? {
            Some(Reply::Results(results)) => Ok(Reply::results(results)),
            Some(Reply::Failed(failure)) => Err(failure.into()),
            Some(Reply::Missing) | None => Err(invalid()),
            Some(Reply::Done | Reply::Unknown | Reply::Handshake(_) | Reply::Sockets { .. }) => {
                Err(not_understood())
            }
        }
    }

    /// Has a socket of this node do a command.
    async fn obey(
        &self,
        socket: &dyn LocalSocket,
        order: Ordered<'_>,
    ) -> Result<Vec<Answer>, Error> {
        let Some(_stay) = socket.stay() else {
            return Err(Error::InvalidSocket(order.id.to_owned()));
        };
        let by = By {
            user: Some(order.user),
            seat: Some(socket),
            bypass: order.bypass_permissions,
            local: true,
        };
        self.command(by, order.command, order.given, !order.bypass_hooks).await
    }

    /// What a client said when it connected, wherever its socket is: an object with `query`,
    /// `headers` and `auth`. `None`: there is no such socket.
    ///
    /// # Errors
    /// A node does not answer that may have it.
    pub async fn handshake_of(&self, id: &str) -> Result<Option<String>, Error> {
        if let Some(socket) = self.sessions.find(id) {
            return Ok(Some(socket.handshake().data()));
        }
        let question = Question::Handshake { id: id.to_owned() };
        let mut failed = None;
        for answer in self.ask_others(&question).await? {
            match answer {
                Ok(Some(Reply::Handshake(handshake))) => {
                    return Ok(Some(handshake.get().to_owned()));
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// The sockets of a node, and whose they are. `None`: there is no such node.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn sockets_on(&self, node: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        let mut all = BTreeMap::new();
        loop {
            let after = all.last_key_value().map(|(id, _): (&String, _)| id.clone());
            let question = Question::Sockets { after };
            match self.ask_node(node, &question, self.options.bus_ack_timeout).await? {
                Some(Reply::Sockets { sockets, more }) => {
                    let is_last = !more || sockets.is_empty();
                    all.extend(sockets);
                    if is_last {
                        return Ok(Some(all));
                    }
                }
                Some(
                    Reply::Done
                    | Reply::Missing
                    | Reply::Unknown
                    | Reply::Results(_)
                    | Reply::Failed(_)
                    | Reply::Handshake(_),
                ) => return Err(not_understood()),
                None => return Ok(None),
            }
        }
    }

    /// Ends all sockets of a user, on all nodes. Their clients stay away. Returns before they end.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn disconnect_all(&self, user: &Uid) -> Result<(), Error> {
        let word = Word::Disconnect { user: user.as_str().to_owned() };
        Ok(self.hub.tell_nodes(NAME, written(&word)?).await?)
    }

    /// Has each instance call its hook clusterBus. Returns before they do. `args` is a list.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn emit_to_bus(&self, event: &str, args: &Value) -> Result<(), Error> {
        let args = RawValue::from_string(args.json());
        let args = args.map_err(|error| Error::Internal(error.to_string()))?;
        let word = Word::Bus { event: event.to_owned(), args };
        Ok(self.hub.tell_nodes(NAME, written(&word)?).await?)
    }

    /// Another node asks.
    async fn reply(self: &Arc<Self>, question: Question) -> Reply {
        match question {
            Question::Command(order) => self.obey_order(&order).await,
            Question::Handshake { id } => {
                let data = self.sessions.find(&id).map(|socket| socket.handshake().data());
                match data.map(RawValue::from_string) {
                    Some(Ok(data)) => Reply::Handshake(data),
                    Some(Err(_)) | None => Reply::Missing,
                }
            }
            Question::Sockets { after } => {
                Reply::page(self.known_sockets(), after.as_deref(), PAGE)
            }
            Question::Recover { instance } => {
                if instance != self.options.instance {
                    return Reply::Missing;
                }
                match self.end_all().await {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::Failed(error.into()),
                }
            }
            Question::Send { room, body, except } => {
                self.send_for_another(&room, body.0, &except).await
            }
            Question::Turn { user, room, loan } => match self.lend((user, room), loan).await {
                true => Reply::Done,
                false => Reply::Missing,
            },
            Question::TurnKept { loan } => match self.loans.keep(&loan) {
                true => Reply::Done,
                false => Reply::Missing,
            },
            Question::TurnOver { loan } => {
                self.loans.end(&loan);
                Reply::Done
            }
        }
    }

    async fn obey_order(&self, order: &Order) -> Reply {
        let Ok(user) = names::uid(&order.user) else { return Reply::Missing };
        let Some(socket) = self.sessions.of(&user, &order.id) else { return Reply::Missing };
        let Some(command) = Command::find(&order.command) else {
            return Reply::Failed(Error::NoCommand(order.command.clone()).into());
        };
        let files: Vec<Bytes> = order.files.iter().map(|file| file.0.clone()).collect();
        let arguments = order.arguments.iter().map(|raw| &**raw).collect();
        let ordered = Ordered {
            user: &user,
            id: &order.id,
            command,
            given: Given { arguments, attachments: &files },
            bypass_permissions: order.bypass_permissions,
            bypass_hooks: order.bypass_hooks,
        };
        Reply::of(self.obey(&*socket, ordered).await)
    }

    /// The sockets of this node that are somebody's.
    pub fn known_sockets(&self) -> Vec<(Arc<str>, Uid)> {
        let sockets = self.sessions.all();
        sockets.iter().filter_map(|socket| Some((socket.id().clone(), socket.user()?))).collect()
    }

    /// Ends all sockets of this node; their clients come back. Returns once they have departed:
    /// whoever asks behind that finds none of them.
    ///
    /// # Errors
    /// They have not departed in time. They do so later.
    pub async fn end_all(&self) -> Result<(), Error> {
        let ended = self.sessions.end_all(Ending::Recover);
        timeout(self.options.bus_ack_timeout, ended).await.map_err(|_| Error::Timeout)
    }

    /// A node, maybe this one, told all.
    async fn heed(&self, word: Word) {
        match word {
            Word::Disconnect { user } => {
                for socket in self.sessions.all() {
                    if socket.is_or_will_be(&user) {
                        socket.end(Ending::Dismiss);
                    }
                }
            }
            Word::Bus { event, args } => {
                if self.caller.calls("clusterBus") {
                    let body = Body::new("clusterBus", &self.options.instance)
                        .text("event", &event)
                        .json("args", args.get())
                        .end();
                    self.inform("clusterBus", body).await;
                }
            }
        }
    }
}
