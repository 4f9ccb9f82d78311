//! The Web API, in Slack's shapes, so that Slack's SDKs work against it.
//!
//! `args` reads a call's arguments, `methods` says what a method asks and
//! answers (`requests`, `answers`, `objects`), `codes` what Slack calls a refusal;
//! these are pure. `call` moves the bytes. Beside it, what load balancers and
//! Prometheus ask.

mod answers;
mod args;
mod auth;
mod call;
mod codes;
mod methods;
mod objects;
mod requests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use causeway_protocol::UserId;
use causeway_protocol::token::Verifier;
use futures::future::BoxFuture;

use crate::limits::Limits;
use crate::refusals::Refusals;
use crate::upstream::Ask;

/// Bytes of a request's body: the longest text, percent-encoded, and room for
/// arguments that are ignored.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What the answers are made of.
#[derive(Clone)]
pub struct WebState {
    /// The way to the cells.
    pub ask: Arc<dyn Ask>,
    /// Whether a user is online, if that can be known.
    pub online: Arc<dyn Fn(UserId) -> BoxFuture<'static, Option<bool>> + Send + Sync>,
    /// Verifies the callers' tokens.
    pub verifier: Verifier,
    /// Why this node is not ready; `None` = it is.
    pub unready: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Renders the node's metrics as text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What callers may ask.
    pub limits: Limits,
    /// Counts refused calls.
    pub refusals: Arc<Refusals>,
}

/// Everything that is served over HTTP.
pub fn routes(state: WebState) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/{*method}", get(call::answer).post(call::answer))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

async fn readyz(State(state): State<WebState>) -> (StatusCode, String) {
    match (state.unready)() {
        None => (StatusCode::OK, "ready\n".into()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(state): State<WebState>) -> String {
    (state.metrics)()
}
