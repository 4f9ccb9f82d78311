//! One call, from its bytes to its answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::HttpBody;
use axum::extract::{Form, FromRequest, Query, Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{self, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use causeway_protocol::{ApiError, ErrorCode, client};
use serde_json::{Map, Value, json};

use super::args::Args;
use super::methods::{Call, Method, Step};
use super::{WebState, auth, codes, methods, objects};
use crate::limits::{Meter, Refused};

/// From the head of the request to its answer.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// Asks nobody and needs no token.
const ECHO: &str = "api.test";

/// Why a call is refused.
struct Refusal {
    /// What the caller reads.
    code: &'static str,
    error: ApiError,
    /// What is said of single users.
    errors: Vec<Value>,
    /// The caller is to hear no more on this connection.
    last: bool,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.code.as_str(),
            error,
            errors: Vec::new(),
            last: false,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(Refused { error, flooding }: Refused) -> Self {
        Self {
            last: flooding,
            ..error.into()
        }
    }
}

impl Refusal {
    /// The same under Slack's code.
    fn of(self, method: &str, args: &Args) -> Self {
        let code = codes::of(method, args, self.error.code);
        Self {
            code: code.unwrap_or(self.code),
            ..self
        }
    }
}

/// Answers `/api/METHOD`.
pub async fn answer(State(state): State<WebState>, request: Request) -> Response {
    let path = request.uri().path();
    let method = path.strip_prefix("/api/").unwrap_or(path).to_owned();
    let meter = meter(&state, &request);
    let result = tokio::time::timeout(CALL_TIME_MAX, carry_out(&state, &meter, &method, request))
        .await
        .unwrap_or_else(|_| {
            let text = format!("no answer came within {} s", CALL_TIME_MAX.as_secs());
            Err(ApiError::new(ErrorCode::Unavailable, text).into())
        });
    match result {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => {
            let error = &refusal.error;
            state.refusals.count(error.code.as_str());
            if error.code == ErrorCode::InternalError {
                tracing::error!(method, %error, "a call of the Web API has failed");
            }
            refused(&refusal)
        }
    }
}

/// That of the connection on which the call came.
fn meter(state: &WebState, request: &Request) -> Arc<Meter> {
    let of_connection = request.extensions().get::<Arc<Meter>>().cloned();
    of_connection.unwrap_or_else(|| Arc::new(state.limits.meter()))
}

async fn carry_out(
    state: &WebState,
    meter: &Meter,
    name: &str,
    request: Request,
) -> Result<Value, Refusal> {
    state.limits.connection(meter, None)?;
    let method = methods::find(name);
    if method.is_none() && name != ECHO {
        return Err(ApiError::from(ErrorCode::UnknownMethod).into());
    }
    let bearer = auth::bearer(request.headers());
    let (args, token) = arguments(request).await?;
    let Some(method) = method else {
        return Ok(echo(&args)?);
    };
    let token = bearer.or(token);
    let now_s = now_s();
    let user = auth::user(&state.verifier, token.as_deref(), now_s)?;
    let mut call = Call {
        user,
        args,
        spare_id: rand::random(),
        now_s,
        refused: Vec::new(),
    };
    let result = converse(state, meter, method, &mut call).await;
    result.map_err(|refusal| refusal.of(name, &call.args))
}

/// Asks until there is a reply.
async fn converse(
    state: &WebState,
    meter: &Meter,
    method: &Method,
    call: &mut Call,
) -> Result<Value, Refusal> {
    let mut body = (method.begin)(call)?;
    state.limits.user(meter, call.user, Some(&body))?;
    let (mut min_position, mut wrote) = (0, Bytes::new());
    loop {
        let request = client::Request {
            min_position,
            wrote: wrote.clone(),
            body: Some(body.clone()),
        };
        let response = state.ask.ask(call.user, request).await?;
        // The next answer must know what this one knows.
        min_position = min_position.max(response.position);
        if !response.wrote.is_empty() {
            wrote = response.wrote;
        }
        let answer = response.result.ok_or_else(|| {
            let text = "a cell's answer was empty";
            ApiError::new(ErrorCode::InternalError, text)
        })?;
        match (method.next)(call, &body, answer)? {
            Step::Ask(next) => body = next,
            Step::AskDespite(error, next) => {
                let asked = std::mem::replace(&mut body, next);
                call.refused.push((asked, error));
            }
            Step::Reply(value) => return Ok(value),
            Step::Presence(user, is_away) => {
                let online = (state.online)(user).await;
                let is_caller = user == call.user;
                return Ok(objects::people::presence(is_away, online, is_caller));
            }
            Step::Refuse(error, errors) => {
                return Err(Refusal {
                    errors,
                    ..Refusal::from(error)
                });
            }
        }
    }
}

/// Reads the arguments of the query and of the body, which has precedence, and
/// the token among them. As with Slack, a token in JSON is none.
async fn arguments(request: Request) -> Result<(Args, Option<String>), ApiError> {
    let Query(mut args) = Query::<Args>::try_from_uri(request.uri())
        .map_err(|e| unreadable(e.status(), e.body_text()))?;
    let has_body = request.method() == http::Method::POST && !request.body().is_end_stream();
    if has_body {
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/x-www-form-urlencoded") {
            let Form(form) = Form::<Args>::from_request(request, &())
                .await
                .map_err(|e| unreadable(e.status(), e.body_text()))?;
            args = args.with(form);
        } else if kind.starts_with("application/json") {
            let Json(mut json) = Json::<Args>::from_request(request, &())
                .await
                .map_err(|e| unreadable(e.status(), e.body_text()))?;
            json.take_token();
            args = args.with(json);
        } else {
            let text = "a body is application/json or application/x-www-form-urlencoded";
            return Err(ApiError::new(ErrorCode::InvalidArguments, text));
        }
    }
    let token = args.take_token();
    Ok((args, token))
}

fn unreadable(status: StatusCode, text: String) -> ApiError {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
        _ => ErrorCode::InvalidArguments,
    };
    ApiError::new(code, text)
}

/// Answers what was said, and fails as it was told to.
fn echo(args: &Args) -> Result<Value, ApiError> {
    let said = args.texts().map(|(name, text)| (name.into(), text.into()));
    let said = said.collect::<Map<String, Value>>();
    Ok(match args.text("error")? {
        None => json!({ "ok": true, "args": said }),
        Some(error) => json!({ "ok": false, "error": error, "args": said }),
    })
}

/// A refusal is an answer like any other, with 200; only a caller that must slow
/// down is told so by the status, since SDKs look there.
fn refused(refusal: &Refusal) -> Response {
    let error = &refusal.error;
    let mut body = json!({ "ok": false, "error": refusal.code });
    if !refusal.errors.is_empty() {
        body["errors"] = refusal.errors.clone().into();
    }
    if !error.message.is_empty() {
        let line = format!("[ERROR] {}", error.message);
        body["response_metadata"] = json!({ "messages": [line] });
    }
    if error.code != ErrorCode::Ratelimited {
        return Json(body).into_response();
    }
    let wait_s = error.retry_after_ms.div_ceil(1_000).max(1);
    let headers = [(RETRY_AFTER, wait_s.to_string())];
    let mut response = (StatusCode::TOO_MANY_REQUESTS, headers, Json(body)).into_response();
    if refusal.last {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Seconds since 1970.
fn now_s() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |time| time.as_secs())
}
