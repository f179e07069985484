//! The shape of an Adaptive Card as Workflows takes it, as far as it is used here.

use serde::Serialize;

/// <https://learn.microsoft.com/power-automate/overview-adaptive-cards>
#[derive(Debug, Serialize)]
pub struct Message {
    pub r#type: &'static str,
    pub attachments: [Attachment; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    pub content_type: &'static str,
    pub content: Card,
}

/// <https://adaptivecards.io/explorer/AdaptiveCard.html>
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    #[serde(rename = "$schema")]
    pub schema: &'static str,
    pub r#type: &'static str,
    pub version: &'static str,
    pub fallback_text: String,
    pub body: Vec<Element>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msteams: Option<Width>,
}

#[derive(Debug, Serialize)]
pub struct Width {
    pub width: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum Element {
    Container { style: &'static str, bleed: bool, items: Vec<Element> },
    TextBlock(TextBlock),
    FactSet { facts: Vec<Fact> },
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TextBlock {
    pub text: String,
    pub wrap: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub font_type: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_subtle: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub separator: bool,
}

#[derive(Debug, Serialize)]
pub struct Fact {
    pub title: String,
    pub value: String,
}

#[derive(Debug, Serialize)]
pub struct Action {
    pub r#type: &'static str,
    pub title: String,
    pub url: String,
}
