//! The shape of a message of Slack's incoming webhooks, as far as it is used here.

use serde::Serialize;

/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_emoji: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<&'a str>,
    /// For notifications and clients without blocks.
    pub text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<[Attachment; 1]>,
}

/// Blocks with a coloured bar beside them. <https://docs.slack.dev/messaging/formatting-message-text#attachments>
#[derive(Debug, Serialize)]
pub struct Attachment {
    pub color: String,
    pub blocks: Vec<Block>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    Header {
        text: Text,
    },
    Section {
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<Text>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        fields: Vec<Text>,
    },
    Context {
        elements: Vec<Text>,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Text {
    PlainText {
        text: String,
        emoji: bool,
    },
    /// `verbatim`: Slack makes no links, channels or mentions of what looks like one; only what we marked up is.
    Mrkdwn {
        text: String,
        verbatim: bool,
    },
}

impl Text {
    pub fn plain(text: String) -> Self {
        Self::PlainText { text, emoji: true }
    }

    pub fn markdown(text: String) -> Self {
        Self::Mrkdwn { text, verbatim: true }
    }
}

impl Block {
    pub fn header(text: String) -> Self {
        Self::Header { text: Text::plain(text) }
    }

    pub fn section(markdown: String) -> Self {
        Self::Section { text: Some(Text::markdown(markdown)), fields: Vec::new() }
    }
}
