//! What a client asks its PoP for as it is needed: users, channels, members, emoji.

use causeway_protocol::client::{self, request::Body, response};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, UserId};

use crate::Client;

/// Some rows of a list, and where it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Asks for those that follow; empty = that was all.
    pub next_cursor: String,
}

impl From<client::UserPage> for Rows<client::User> {
    fn from(page: client::UserPage) -> Self {
        Self {
            rows: page.users,
            next_cursor: page.next_cursor,
        }
    }
}

/// Which rows of a list: `limit` 0 = as many as are usual, an empty cursor = the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At the most so many.
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: String,
}

impl Client {
    /// Users with these ids, in this order; those who are not known are left out.
    ///
    /// # Errors
    /// As for [`request`](Client::request); here and below.
    pub async fn users(&self, ids: &[UserId]) -> Result<Vec<client::User>, ApiError> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.user_page(Body::GetUsers(client::GetUsers {
                users: ids.iter().map(|id| id.0).collect(),
                cursor,
            }));
            let mut page = page.await?;
            all.append(&mut page.rows);
            cursor = page.next_cursor;
            if cursor.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Users of whom a name, or a word of one, begins with `prefix`.
    pub async fn find_users(
        &self,
        prefix: &str,
        page: Page,
    ) -> Result<Rows<client::User>, ApiError> {
        let find = client::FindUsers {
            prefix: prefix.into(),
            limit: page.limit,
            cursor: page.cursor,
        };
        self.user_page(Body::FindUsers(find)).await
    }

    /// The members of a channel.
    pub async fn find_members(
        &self,
        channel: ChannelId,
        page: Page,
    ) -> Result<Rows<client::User>, ApiError> {
        let find = client::FindMembers {
            channel: channel.0,
            limit: page.limit,
            cursor: page.cursor,
        };
        self.user_page(Body::FindMembers(find)).await
    }

    /// Whom somebody may mean who has typed `prefix` in a channel.
    pub async fn complete_mention(
        &self,
        channel: ChannelId,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<client::User>, ApiError> {
        let complete = client::CompleteMention {
            channel: channel.0,
            prefix: prefix.into(),
            limit,
        };
        let page = self.user_page(Body::CompleteMention(complete)).await?;
        Ok(page.rows)
    }

    /// Channels whose name begins with `prefix`.
    pub async fn find_channels(
        &self,
        prefix: &str,
        page: Page,
    ) -> Result<Rows<client::Channel>, ApiError> {
        let find = client::FindChannels {
            prefix: prefix.into(),
            limit: page.limit,
            cursor: page.cursor,
        };
        match self.request(Body::FindChannels(find)).await? {
            response::Result::Channels(page) => Ok(Rows {
                rows: page.channels,
                next_cursor: page.next_cursor,
            }),
            _ => Err(ErrorCode::InternalError.into()),
        }
    }

    /// Emoji whose name begins with `prefix`.
    pub async fn find_emoji(
        &self,
        prefix: &str,
        page: Page,
    ) -> Result<Rows<client::Emoji>, ApiError> {
        let find = client::FindEmoji {
            prefix: prefix.into(),
            limit: page.limit,
            cursor: page.cursor,
        };
        match self.request(Body::FindEmoji(find)).await? {
            response::Result::EmojiPage(page) => Ok(Rows {
                rows: page.emoji,
                next_cursor: page.next_cursor,
            }),
            _ => Err(ErrorCode::InternalError.into()),
        }
    }

    async fn user_page(&self, body: Body) -> Result<Rows<client::User>, ApiError> {
        match self.request(body).await? {
            response::Result::Users(page) => Ok(page.into()),
            _ => Err(ErrorCode::InternalError.into()),
        }
    }
}
