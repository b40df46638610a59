//! Making an account.
use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Basic, CREDENTIALS, Told, defacs, duplicate, json, language, login_id, sign_in, unhashed,
    wanted_tags, whose, with_token,
};
use crate::{
    dialect::tinode::{
        Tinode,
        cabinet::Read,
        credential::{self, about},
        files,
        ids::UserId,
        merge::{self, Merged, merged},
        message::{Code, Params, Raw},
        mode::{Defacs, Level},
        rate::{self, Act},
        record::{LoginRecord, User},
        refusal::{Done, Refusal},
        request::{Acc, ChangeDesc, Cred},
        session::Session,
        tags,
        token::Purpose,
    },
    domain::password::{Salt, Verdict},
    metrics::SignIn,
    throttle::throttled,
};

/// `desc` of an answer to `acc`.
#[derive(Serialize)]
struct ToldDesc<'a> {
    created: String,
    updated: String,
    defacs: &'a Defacs,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<&'a Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<&'a Raw>,
}

fn fresh(given: Option<&RawValue>, most: usize) -> Done<Option<Raw>> {
    let Some(given) = given else { return Ok(None) };
    Ok(match merged(None, given, most)? {
        Merged::Same | Merged::Cleared => None,
        Merged::Now(raw) => Some(raw),
    })
}

/// What a new user says of itself.
pub(super) fn describe(
    user: &mut User,
    desc: &ChangeDesc<'_>,
    is_root: bool,
    most: usize,
) -> Done<()> {
    if desc.trusted.is_some() && !is_root {
        return Err(Code::Denied.into());
    }
    user.defacs = defacs(desc, user.defacs)?;
    user.public = fresh(desc.public, most)?;
    user.private = fresh(desc.private, most)?;
    user.trusted = fresh(desc.trusted, most)?;
    Ok(())
}

fn with_desc(params: Params, user: &User) -> Params {
    let desc = ToldDesc {
        created: user.created.to_string(),
        updated: user.updated.to_string(),
        defacs: &user.defacs,
        public: user.public.as_ref(),
        private: user.private.as_ref(),
    };
    params.json("desc", json(&desc))
}

/// Makes an account, and signs the session in to it where that is wanted.
pub(super) async fn create(session: &Arc<Session>, acc: &Acc<'_>) -> Done<Told> {
    let node = &session.node;
    let maker = session.who();
    if acc.login && maker.is_some() {
        return Err(Code::AlreadyAuthenticated.into());
    }
    let basic = match &*acc.scheme {
        "basic" => Some(Basic::read(&acc.secret)?),
        "anonymous" => None,
        _ => return Err(Code::Malformed.into()),
    };
    if let Some(basic) = &basic {
        basic.check_login()?;
        basic.check_password()?;
    }
    let level = if basic.is_some() { Level::Auth } else { Level::Anon };
    let mut user = User::new(UserId::random(&*node.hub.rng)?, level, session.now());
    user.tags = wanted_tags(node, acc.tags.as_deref().unwrap_or_default());
    if user.tags.iter().any(|tag| tags::is_reserved(tag)) {
        return Err(about(Code::Denied, "tags"));
    }
    let is_root = maker.is_some_and(|maker| maker.level == Level::Root);
    describe(&mut user, &acc.desc, is_root, node.options.limits.message)?;
    rate::admit(session, Act::Register)?;
    let creds = credential::of_use(node, &acc.creds);
    check_credentials(node, creds).await?;
    match basic {
        Some(basic) => add_with_login(node, &mut user, basic).await?,
        None => {
            if !node.cabinet.add_user(&user).await? {
                return Err(Code::Unavailable.into()); // a number was drawn twice
            }
        }
    }
    refer(node, &user).await;
    created(session, acc.login, creds, user).await
}

/// Whether what is required is there, and nothing of it somebody else's.
async fn check_credentials(node: &Tinode, creds: &[Cred<'_>]) -> Done<()> {
    let is_given = |meth: &String| {
        creds.iter().any(|cred| cred.method == meth.as_str() && !cred.value.is_empty())
    };
    let lacking: Vec<&String> =
        node.options.required.iter().filter(|meth| !is_given(meth)).collect();
    if !lacking.is_empty() {
        let params = Params::default().json("creds", json(&lacking));
        return Err(Refusal { code: Code::Policy, params });
    }
    if creds.len() > CREDENTIALS {
        return Err(about(Code::Policy, "cred"));
    }
    for cred in creds {
        let val = credential::address(node, cred)?;
        if credential::is_taken(node, None, &val).await? {
            return Err(about(Code::DuplicateCredential, "cred"));
        }
    }
    Ok(())
}

/// Keeps a new user with its login.
async fn add_with_login(node: &Tinode, user: &mut User, basic: Basic) -> Done<()> {
    let id = login_id(&basic.login);
    // Nobody's password is hashed in vain; who wins is decided when the login is added.
    match node.cabinet.login(&id).await? {
        Some(read) => {
            let left = left_behind(node, read, &basic.password).await?;
            user.id = left.ok_or_else(duplicate)?;
        }
        None => {
            let salt = Salt::random(&*node.hub.rng)?;
            let hash = node.passwords.hash(basic.password, salt).await;
            let hash = hash.map_err(|why| unhashed(node, why))?;
            let login = LoginRecord { user: user.id, hash: Some(hash) };
            if !node.cabinet.add_login(&id, &login).await? {
                return Err(duplicate());
            }
        }
    }
    // Behind those that were chosen, of which there are as many as there may be.
    user.tags.push(id);
    user.login = Some(basic.login);
    if node.cabinet.add_user(user).await? { Ok(()) } else { Err(duplicate()) }
}

/// The user of a login that was never made, if this is its password.
async fn left_behind(
    node: &Tinode,
    login: Read<LoginRecord>,
    password: &str,
) -> Done<Option<UserId>> {
    let LoginRecord { user, hash } = login.record;
    let Some(hash) = hash else { return Ok(None) };
    if node.cabinet.user(user).await?.is_some() {
        return Ok(None);
    }
    let salt = Salt::random(&*node.hub.rng)?;
    let verdict = node.passwords.judge(password.to_owned(), hash, salt).await;
    Ok(match verdict.map_err(|why| unhashed(node, why))? {
        Verdict::Wrong => None,
        Verdict::Right | Verdict::Replace(_) => Some(user),
    })
}

/// Files that a user's public refers to are kept.
async fn refer(node: &Tinode, user: &User) {
    let mut names = BTreeSet::new();
    for raw in [&user.public, &user.private].into_iter().flatten() {
        merge::files(raw.get(), &mut names);
    }
    if !names.is_empty() {
        files::refer(node, &format!("u/{}", user.id), &names).await;
    }
}

/// What is told of a new account, and done about it.
async fn created(
    session: &Arc<Session>,
    login: bool,
    creds: &[Cred<'_>],
    user: User,
) -> Done<Told> {
    let node = &session.node;
    let lang = language(session);
    for cred in creds {
        // It may be asked for once more when the user logs in: the account is there.
        if let Err(why) = credential::begin(node, user.id, cred, &lang).await {
            let code = why.code.number();
            throttled!(warn, code, "a new user could not be sent a code");
        }
    }
    let params = with_desc(whose(&user), &user);
    let missing = credential::missing(&node.options.required, &user);
    if !missing.is_empty() {
        let params = with_token(params, node, &user, Purpose::Validate);
        return Ok(Told::new(Code::Validate, params.json("cred", json(&missing))));
    }
    if !login {
        return Ok(Told::new(Code::Created, params));
    }
    let who = sign_in::sign_in(session, &user, SignIn::Token).await?;
    let params = with_token(params, node, &user, Purpose::Login);
    Ok(Told { signed_in: Some(who), ..Told::new(Code::Ok, params) })
}
