//! Pages of lists and histories.

use causeway_protocol::limits::{PAGE_BYTES_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use causeway_protocol::{ApiError, ErrorCode};
use prost::Message;

/// A page under construction, bounded in rows and bytes.
pub struct PageOf<T> {
    /// The rows so far.
    pub rows: Vec<T>,
    limit: usize,
    bytes: usize,
}

impl<T: Message> PageOf<T> {
    /// Adds a row, if there is one.
    pub fn extend(&mut self, row: Option<T>) {
        if let Some(row) = row {
            self.bytes += row.encoded_len();
            self.rows.push(row);
        }
    }
}

impl<T> PageOf<T> {
    /// `limit` as asked for: 0 = the default.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`] for more than a page may hold.
    pub fn new(limit: u32) -> Result<Self, ApiError> {
        let limit = match limit {
            0 => PAGE_ROWS_DEFAULT,
            1..=PAGE_ROWS_MAX => limit,
            _ => {
                let text = format!("limit is at most {PAGE_ROWS_MAX}");
                return Err(ApiError::new(ErrorCode::InvalidArguments, text));
            }
        };
        Ok(Self {
            rows: Vec::new(),
            limit: limit as usize,
            bytes: 0,
        })
    }

    /// Rows at the most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether it has no room for another row.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }
}
