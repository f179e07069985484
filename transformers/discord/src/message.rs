//! The shape of a message of Discord's webhooks, as far as it is used here.

use serde::Serialize;

/// <https://docs.discord.com/developers/resources/webhook#execute-webhook>
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<&'a str>,
    pub embeds: [Embed<'a>; 1],
    pub allowed_mentions: AllowedMentions,
}

/// Nobody: `parse` is what kinds of mentions in the text count.
#[derive(Debug, Serialize)]
pub struct AllowedMentions {
    pub parse: [(); 0],
}

/// <https://docs.discord.com/developers/resources/message#embed-object>
#[derive(Debug, Serialize)]
pub struct Embed<'a> {
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub color: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    pub footer: Footer,
    pub timestamp: &'a str,
}

#[derive(Debug, Serialize)]
pub struct Field {
    pub name: String,
    pub value: String,
    pub inline: bool,
}

#[derive(Debug, Serialize)]
pub struct Footer {
    pub text: String,
}
