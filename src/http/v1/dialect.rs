//! Methods of dialects, `/v1/PATH/METHOD`, in the frame of the API: who asks, how much is taken at
//! once, the audit log. What they take and do is the dialect's affair, which says of itself what
//! there is ([`Methods::documents`]).
//!
//! An answer is `{"result":…}`. What a dialect fails with is a problem as well, with the error's
//! name, code and arguments in the words of its protocol.
use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Api, JSON,
    method::{self, Effect},
    parse,
    problem::{self, Problem, SOON},
    request::{self, Issues, Place},
    unnamed,
};
use crate::{
    domain::{
        json::Object,
        methods::{Failure, MethodDoc, Methods},
    },
    http::{
        audit::Act,
        caller::{self, Named},
        local::Client,
    },
    throttle::throttled,
    trace,
};

/// A method of a dialect.
pub(super) struct Added {
    methods: Arc<dyn Methods>,
    /// What the dialect says of it.
    pub(super) doc: MethodDoc,
    /// The dialect's path.
    pub(super) dialect: &'static str,
    /// Its path below `/v1/`: what metrics and the audit log call it.
    pub(super) name: &'static str,
}

/// The methods of all dialects, in the order of the documents.
#[derive(Default)]
pub(super) struct Dialects(Vec<Arc<Added>>);

impl Dialects {
    /// Of these dialects. The names of their methods live as long as the process, as metrics want
    /// it: call it once.
    pub(super) fn new(of: &[Arc<dyn Methods>]) -> Self {
        let added = |methods: &Arc<dyn Methods>, doc: MethodDoc| {
            let dialect = methods.path();
            let name = String::leak(format!("{dialect}/{}", doc.name));
            Arc::new(Added { methods: methods.clone(), doc, dialect, name })
        };
        let all = of.iter().flat_map(|methods| {
            methods.documents().into_iter().map(move |doc| added(methods, doc))
        });
        Dialects(all.collect())
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Arc<Added>] {
        &self.0
    }

    /// The method with this path below `/v1/`.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Added>> {
        self.0.iter().find(|added| added.name == name)
    }
}

/// Answers a request to a method. It is done in a task of its own: whoever hangs up ends nothing
/// half way.
pub(super) async fn answer(
    api: &Arc<Api>,
    added: &Arc<Added>,
    parts: Parts,
    body: Body,
) -> Result<Response, Problem> {
    let hub = &api.context.hub;
    let admin = caller::named_or_in_query(hub, &parts).await.map_err(unnamed)?;
    method::allow(added.doc.effect, &admin)?;
    let place = api.place(&parts.headers)?;
    let body = api.body(&parts, body).await?;
    let work = {
        let (api, added) = (api.clone(), added.clone());
        async move {
            let _place = place;
            added.run(&api, &admin, &body).await
        }
    };
    match hub.tasks.spawn(trace::carried(work)).await {
        Ok(ran) => Ok(match ran? {
            Ok(result) => success(&result),
            Err(failure) => refused(added.name, &failure, &parts),
        }),
        Err(_) => {
            tracing::error!(
                method = added.name,
                "a request failed: a panic, which is logged above"
            );
            Err(problem::failure())
        }
    }
}

fn success(result: &str) -> Response {
    let body = format!(r#"{{"result":{result}}}"#);
    ([(header::CONTENT_TYPE, HeaderValue::from_static(JSON))], body).into_response()
}

impl Added {
    async fn run(
        &self,
        api: &Api,
        admin: &Named,
        body: &[u8],
    ) -> Result<Result<String, Failure>, Problem> {
        let fields = self.read(parse(body)?)?;
        let outcome = self.methods.call(self.doc.name, &fields).await;
        self.note(api, admin, &fields, &outcome).await;
        Ok(outcome)
    }

    /// The body, which has all fields that the method needs, and no others. What they are is looked
    /// at by the dialect, in the words of its protocol.
    fn read<'a>(&self, body: &'a RawValue) -> Result<Object<'a>, Problem> {
        let mut issues = Issues::default();
        let names: Vec<&str> = self.doc.fields.iter().map(|field| field.name).collect();
        let object = request::object(body, &names, &Place::Whole, &mut issues);
        for field in self.doc.fields.iter().filter(|field| field.required) {
            if object.as_ref().is_some_and(|object| object.get(field.name).is_none()) {
                issues.add(&Place::Field(&Place::Whole, field.name), "it is required");
            }
        }
        match (object, issues.found()) {
            (Some(object), found) if found.is_empty() => Ok(object),
            (_, found) => Err(Problem::invalid(found)),
        }
    }

    /// Writes down what was changed, or tried to be. Of a request that can't be one nothing was.
    async fn note(
        &self,
        api: &Api,
        admin: &Named,
        fields: &Object<'_>,
        outcome: &Result<String, Failure>,
    ) {
        let with = match outcome {
            Ok(result) => Ok(result.as_bytes()),
            Err(failure) if failure.status == 400 => return,
            Err(failure) => Err(code(failure)),
        };
        if self.doc.effect == Effect::Reads {
            return;
        }
        if let Some(told) = self.methods.audited(self.doc.name, fields) {
            let act = Act::told(&admin.uid, self.name, told).ended(with);
            api.context.audit.note(&api.context.hub, act).await;
        }
    }
}

/// A failure in a word.
fn code(failure: &Failure) -> &str {
    failure.error.as_ref().map_or("refused", |error| &error.code)
}

/// A failure as it is written: problem details of RFC 9457, whose `type` says no more than the
/// status.
#[derive(Serialize, ToSchema)]
#[schema(as = DialectProblem)]
pub(super) struct Told<'a> {
    /// `about:blank`: programs go by `code`. Where there is none, it is one of the problems of all
    /// methods.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, for people: the text of the error.
    detail: &'a str,
    /// The request's path.
    instance: &'a str,
    /// The name that all errors of the protocol have; only of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// Which of them it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// What its text is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    args: Option<Box<RawValue>>,
}

impl<'a> Told<'a> {
    fn of(failure: &'a Failure, status: StatusCode, instance: &'a str) -> Self {
        let error = failure.error.as_ref();
        Told {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &failure.detail,
            instance,
            name: error.map(|error| error.name),
            code: error.map(|error| &*error.code),
            // What is no JSON is left out, rather than that all of it is none.
            args: error.and_then(|error| RawValue::from_string(error.args.clone()).ok()),
        }
    }
}

/// The answer that tells of a failure, and its line of the log.
fn refused(method: &'static str, failure: &Failure, parts: &Parts) -> Response {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let address = parts.extensions.get::<Client>().map(|Client(address)| *address);
    throttled!(
        info,
        method,
        status = status.as_u16(),
        problem = code(failure),
        address = address.map(tracing::field::display),
        "a request to the API was refused"
    );
    let told = Told::of(failure, status, parts.uri.path());
    let body = serde_json::to_string(&told).unwrap_or_default();
    let mut response =
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(SOON));
    }
    response
}

#[cfg(test)]
pub(super) mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::domain::methods::{Audited, FieldDoc, Named as NamedError, Values};

    /// A dialect with one method, which changes something.
    pub(in crate::http::v1) struct Example;

    #[async_trait]
    impl Methods for Example {
        fn path(&self) -> &'static str {
            "example"
        }

        fn documents(&self) -> Vec<MethodDoc> {
            let field = |name, required| FieldDoc {
                name,
                values: Values::Text,
                required,
                about: "A text.",
            };
            vec![MethodDoc {
                name: "say",
                summary: "Say something",
                about: "Once.",
                effect: Effect::Changes,
                fields: vec![field("text", true), field("to", false)],
                result: Values::Nothing,
                gives: "Nothing.",
            }]
        }

        fn audited(&self, _: &str, _: &Object<'_>) -> Option<Audited> {
            None
        }

        async fn call(&self, _: &str, _: &Object<'_>) -> Result<String, Failure> {
            Ok("null".to_owned())
        }
    }

    fn dialects() -> Dialects {
        Dialects::new(&[Arc::new(Example)])
    }

    #[test]
    fn a_method_is_found_by_its_whole_path() {
        let dialects = dialects();
        assert_eq!(dialects.find("example/say").map(|added| added.name), Some("example/say"));
        for other in ["say", "example", "example/", "example/say/", "example/Say", ""] {
            assert!(dialects.find(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_body_has_the_fields_of_its_method() {
        let dialects = dialects();
        let added = dialects.find("example/say").unwrap();
        for (body, good) in [
            (r#"{"text":1}"#, true),
            (r#"{"text":null,"to":[]}"#, true),
            (r#"{"to":"x"}"#, false),
            (r#"{"text":"x","more":1}"#, false),
            ("{}", false),
            ("[]", false),
            ("null", false),
        ] {
            let read = added.read(serde_json::from_str(body).unwrap());
            assert_eq!(read.is_ok(), good, "{body}");
        }
    }

    #[test]
    fn a_failure_is_told_with_its_name_or_without() {
        let error = NamedError { name: "Wrong", code: "no".into(), args: r#"[1,"x"]"#.into() };
        let failure = Failure { status: 409, detail: "no: x".into(), error: Some(error) };
        let told = |failure: &Failure| {
            let told = Told::of(failure, StatusCode::CONFLICT, "/v1/example/say");
            serde_json::to_value(told).unwrap()
        };
        let mut expected = serde_json::json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "detail": "no: x",
            "instance": "/v1/example/say", "name": "Wrong", "code": "no", "args": [1, "x"],
        });
        assert_eq!(told(&failure), expected);
        for field in ["name", "code", "args"] {
            expected.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(told(&Failure { error: None, ..failure }), expected);
    }
}
