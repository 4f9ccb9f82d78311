//! The Web API, in Slack's shapes.
