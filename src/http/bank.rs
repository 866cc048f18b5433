//! The site of the sandbox's bank, where a user logs in and chooses what to share.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};
use maud::html;
use url::form_urlencoded;

use super::{Web, page};
use crate::connector::sandbox::authority::{Asked, PATH, SHARED, SITE_PASSWORD, SITE_USER};

const TITLE: &str = "Ponte Bank";
/// Largest form that is read.
const LARGEST_FORM: usize = 8 * 1024;

/// Shows the form.
pub(super) async fn show(
    State(web): State<Web>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    match Asked::read(&web.app.config.base_url(), &query) {
        Ok(asked) => form(&web, StatusCode::OK, &asked, None),
        Err(problem) => refused(&web, problem),
    }
}

/// Takes the form, and sends the browser back with the user's decision.
pub(super) async fn submit(State(web): State<Web>, body: Bytes) -> Response {
    if body.len() > LARGEST_FORM {
        return refused(&web, "the form is too large");
    }
    let (mut values, mut shared) = (BTreeMap::new(), Vec::new());
    for (name, value) in form_urlencoded::parse(&body) {
        if name != "share" {
            values.insert(name.into_owned(), value.into_owned());
        } else if SHARED.iter().any(|(key, _)| *key == value) {
            shared.push(value.into_owned());
        }
    }
    let asked = match Asked::read(&web.app.config.base_url(), &values) {
        Ok(asked) => asked,
        Err(problem) => return refused(&web, problem),
    };
    let given = |name: &str| values.get(name).map_or("", String::as_str);
    if given("decision") != "approve" {
        return page::see_other(&asked.refuse());
    }
    if (given("user"), given("password")) != (SITE_USER, SITE_PASSWORD) {
        let problem = "The bank does not know this user or password.";
        return form(&web, StatusCode::UNAUTHORIZED, &asked, Some(problem));
    }
    if shared.is_empty() {
        let problem = "Choose at least one account.";
        return form(&web, StatusCode::BAD_REQUEST, &asked, Some(problem));
    }
    page::see_other(&asked.approve(web.app.clock.now(), shared))
}

fn form(web: &Web, status: StatusCode, asked: &Asked, problem: Option<&str>) -> Response {
    let content = html! {
        p { "Ponte asks to read your accounts." }
        @if let Some(problem) = problem {
            p.problem role="alert" { (problem) }
        }
        form method="post" action=(action(web)) {
            @for (name, value) in asked.fields() {
                input type="hidden" name=(name) value=(value);
            }
            label { "User" input name="user" autocomplete="off" value=(SITE_USER); }
            label { "Password" input name="password" type="password" autocomplete="off"; }
            p.hint { "A made-up bank. The password is " code { (SITE_PASSWORD) } "." }
            @for (key, name) in SHARED {
                label { input type="checkbox" name="share" value=(key) checked; " " (name) }
            }
            button name="decision" value="approve" { "Allow" }
            button.quiet name="decision" value="refuse" { "Refuse" }
        }
    };
    page::page(&web.app, status, TITLE, &content)
}

/// Where the form goes, also behind a proxy that adds a path.
fn action(web: &Web) -> String {
    let base = web.app.config.base_url();
    format!("{}{PATH}", base.path().trim_end_matches('/'))
}

fn refused(web: &Web, problem: &str) -> Response {
    let content = html! { p.problem { (problem) } };
    page::page(&web.app, StatusCode::BAD_REQUEST, TITLE, &content)
}
