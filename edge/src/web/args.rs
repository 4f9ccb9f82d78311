//! A call's arguments: one table, whether they came in the query, as a form or
//! as JSON, and the readings of it that methods share.

use std::collections::BTreeMap;
use std::fmt;

use causeway_protocol::limits::PAGE_ROWS_MAX;
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Timestamp, UserId};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Arguments of one query or body. Slack's richest method has about thirty.
const ARGS_MAX: usize = 64;
/// Names in an object, and in those in it: a profile has up to 50 custom fields, each
/// with a value and an alt.
const OBJECT_NAMES_MAX: usize = 256;

/// Arguments by name; or what an object among them has, which is read alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args(BTreeMap<String, Arg>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Arg {
    /// A string, or a number or truth value as JSON writes it.
    Text(String),
    /// An object.
    Object(Args),
    /// A list, or an object with too many names: no method reads one, so it is not
    /// kept.
    Unread,
    /// JSON's `null`.
    Absent,
}

impl Args {
    /// These arguments, and `others` in preference.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Takes the token out, so that nothing echoes or logs it.
    pub fn take_token(&mut self) -> Option<String> {
        match self.0.remove("token")? {
            Arg::Text(token) => Some(token),
            Arg::Object(_) | Arg::Unread | Arg::Absent => None,
        }
    }

    /// All arguments that are no lists or objects.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, arg)| match arg {
            Arg::Text(text) => Some((name.as_str(), text.as_str())),
            Arg::Object(_) | Arg::Unread | Arg::Absent => None,
        })
    }

    /// Names of all that is given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let given = self.0.iter().filter(|(_, arg)| **arg != Arg::Absent);
        given.map(|(name, _)| name.as_str())
    }

    /// An argument; an empty one counts as left out, as it does with Slack.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`] for a list or an object.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.0.get(name) {
            None | Some(Arg::Absent) => Ok(None),
            Some(Arg::Text(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(Arg::Object(_) | Arg::Unread) => Err(invalid(format!("{name} must be a string"))),
        }
    }

    /// A required argument.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`].
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A required argument that may be empty: that takes back what was there.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`].
    pub fn given(&self, name: &str) -> Result<&str, ApiError> {
        match self.0.get(name) {
            Some(Arg::Text(text)) => Ok(text.as_str()),
            _ => self.required(name),
        }
    }

    /// An object, or its JSON, which is how it comes in a form.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`] for anything else.
    pub fn object(&self, name: &str) -> Result<Option<Self>, ApiError> {
        let arg = match self.0.get(name) {
            None => Arg::Absent,
            Some(Arg::Text(json)) if json.is_empty() => Arg::Absent,
            Some(Arg::Text(json)) => serde_json::from_str(json).unwrap_or(Arg::Unread),
            Some(arg) => arg.clone(),
        };
        match arg {
            Arg::Absent => Ok(None),
            Arg::Object(object) => Ok(Some(object)),
            Arg::Text(_) | Arg::Unread => {
                let text = format!("{name} must be an object of up to {OBJECT_NAMES_MAX} names");
                Err(invalid(text))
            }
        }
    }

    /// `true`, `false`, `1` or `0`; false when left out.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`].
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
        match self.text(name)? {
            None => Ok(false),
            Some(text) if text == "1" || is(text, "true") => Ok(true),
            Some(text) if text == "0" || is(text, "false") => Ok(false),
            Some(_) => Err(invalid(format!("{name} must be true or false"))),
        }
    }

    /// Rows wanted; 0 = the default. More than a page holds is a full page, as
    /// it is with Slack: callers must follow the cursor anyway.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`].
    pub fn limit(&self) -> Result<u32, ApiError> {
        self.rows("limit")
    }

    /// The same, where the argument has another name.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`].
    pub fn rows(&self, name: &str) -> Result<u32, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(0);
        };
        let rows: u64 = text
            .parse()
            .map_err(|_| invalid(format!("{name} must be a whole number")))?;
        Ok(u32::try_from(rows).map_or(PAGE_ROWS_MAX, |rows| rows.min(PAGE_ROWS_MAX)))
    }

    /// `next_cursor` of the page before; empty for the first page.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`].
    pub fn cursor(&self) -> Result<String, ApiError> {
        Ok(self.text("cursor")?.unwrap_or_default().to_owned())
    }

    /// The channel that the call is about: its id, no name.
    ///
    /// # Errors
    /// [`ErrorCode::ChannelNotFound`] for what is no id.
    pub fn channel(&self) -> Result<ChannelId, ApiError> {
        let text = self.required("channel")?;
        text.parse().map_err(|_| ErrorCode::ChannelNotFound.into())
    }

    /// The user that the call is about.
    ///
    /// # Errors
    /// [`ErrorCode::UserNotFound`] for what is no id.
    pub fn user(&self) -> Result<UserId, ApiError> {
        let text = self.required("user")?;
        text.parse().map_err(|_| ErrorCode::UserNotFound.into())
    }

    /// The user that the call is about; the caller, if it names none.
    ///
    /// # Errors
    /// As for [`user`](Self::user).
    pub fn user_or(&self, caller: UserId) -> Result<UserId, ApiError> {
        match self.text("user")? {
            None => Ok(caller),
            Some(_) => self.user(),
        }
    }

    /// The `ts` that names a message; `unknown` is the answer to one that names
    /// none, such as 0.
    ///
    /// # Errors
    /// `unknown`.
    pub fn ts(&self, name: &str, unknown: ErrorCode) -> Result<Option<Timestamp>, ApiError> {
        match self.text(name)?.map(str::parse) {
            None => Ok(None),
            Some(Ok(ts)) if ts > Timestamp(0) => Ok(Some(ts)),
            Some(_) => Err(unknown.into()),
        }
    }

    /// A required `ts`.
    ///
    /// # Errors
    /// `unknown`, or [`ErrorCode::InvalidArguments`] when it is left out.
    pub fn required_ts(&self, name: &str, unknown: ErrorCode) -> Result<Timestamp, ApiError> {
        self.ts(name, unknown)?.ok_or_else(|| missing(name))
    }

    /// A bound of history; 0 = none. Digits beyond microseconds are cut off:
    /// Python prints its clock with seven.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`].
    pub fn bound(&self, name: &str) -> Result<Timestamp, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(Timestamp(0));
        };
        let micros_end = text.find('.').map_or(text.len(), |point| point + 7);
        let (kept, cut) = text.split_at_checked(micros_end).unwrap_or((text, ""));
        match kept.parse() {
            Ok(ts) if cut.bytes().all(|byte| byte.is_ascii_digit()) => Ok(ts),
            _ => Err(invalid(format!("{name} must be a ts"))),
        }
    }
}

/// The refusal of an argument.
pub fn invalid(text: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidArguments, text)
}

/// The refusal of a call without a required argument.
pub fn missing(name: &str) -> ApiError {
    invalid(format!("missing required field: {name}"))
}

impl Arg {
    /// How many names are in it, and in what is in it.
    fn names_count(&self) -> usize {
        match self {
            Self::Object(object) => object.0.values().map(|arg| 1 + arg.names_count()).sum(),
            Self::Text(_) | Self::Unread | Self::Absent => 0,
        }
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Args;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of arguments")
            }

            /// Counts while it reads: a body full of names must not be kept.
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Args, M::Error> {
                let mut args = Args::default();
                while let Some((name, arg)) = map.next_entry()? {
                    args.0.insert(name, arg);
                    if args.0.len() > ARGS_MAX {
                        let text = format_args!("there are more than {ARGS_MAX} arguments");
                        return Err(M::Error::custom(text));
                    }
                }
                Ok(args)
            }
        }

        deserializer.deserialize_map(Table)
    }
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyArg)
    }
}

struct AnyArg;

impl<'de> Visitor<'de> for AnyArg {
    type Value = Arg;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an argument")
    }

    fn visit_str<E>(self, text: &str) -> Result<Arg, E> {
        Ok(Arg::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Arg, E> {
        Ok(Arg::Text(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Arg, E> {
        Ok(Arg::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Arg, E> {
        Ok(Arg::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Arg, E> {
        Ok(Arg::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Arg, E> {
        Ok(Arg::Text(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Arg, E> {
        Ok(Arg::Absent)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Arg, S::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Arg::Unread)
    }

    /// Counts while it reads, too.
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Arg, M::Error> {
        let mut object = Args::default();
        let mut names_count = 0;
        while let Some((name, arg)) = map.next_entry::<String, Arg>()? {
            names_count += 1 + arg.names_count();
            if names_count <= OBJECT_NAMES_MAX {
                object.0.insert(name, arg);
            }
        }
        Ok(match names_count <= OBJECT_NAMES_MAX {
            true => Arg::Object(object),
            false => Arg::Unread,
        })
    }
}
