//! Who calls: the token in the header or among the arguments.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use causeway_protocol::token::Verifier;
use causeway_protocol::{ApiError, ErrorCode, UserId};

/// The token of `Authorization: Bearer`; another scheme is nothing to us.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let header = String::from_utf8_lossy(headers.get(AUTHORIZATION)?.as_bytes());
    let (scheme, token) = header.trim().split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim().to_owned())
}

/// The user that the token speaks for; `now_s` is seconds since 1970.
///
/// # Errors
/// [`ErrorCode::NotAuthed`] without a token, [`ErrorCode::InvalidAuth`] or
/// [`ErrorCode::TokenExpired`] with a wrong one.
pub fn user(verifier: &Verifier, token: Option<&str>, now_s: u64) -> Result<UserId, ApiError> {
    let token = token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| ApiError::from(ErrorCode::NotAuthed))?;
    let claims = verifier.verify(token, now_s);
    claims
        .map(|claims| claims.user)
        .map_err(|e| ApiError::new(e.code(), e.to_string()))
}
