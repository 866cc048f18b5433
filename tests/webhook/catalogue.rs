//! The catalogue of events, held against what is really sent.

use std::collections::{BTreeSet, HashMap};

use entity::kind::EventType;
use jsonschema::Validator;
use ponte::{
    event::{asyncapi, catalogue},
    graphql, http, item,
};
use serde_json::{Value, json};
use strum::IntoEnumIterator as _;

use super::harness::on_both;
use crate::support::{TestApp, receiver::Receiver};

/// Validators by name of event, stricter than what is served: nothing that is not described.
pub fn validators() -> HashMap<String, Validator> {
    let strict = |schema: &Value| {
        let mut schema = schema.clone();
        schema["unevaluatedProperties"] = json!(false);
        for part in schema["properties"].as_object_mut().unwrap().values_mut() {
            if part["type"] == "object" {
                part["unevaluatedProperties"] = json!(false);
            }
        }
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap()
    };
    let document = catalogue::document();
    document["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            jsonschema::draft202012::meta::validate(&entry["schema"]).unwrap();
            (
                entry["name"].as_str().unwrap().to_owned(),
                strict(&entry["schema"]),
            )
        })
        .collect()
}

fn check(validators: &HashMap<String, Validator>, body: &Value) {
    let name = body["event"].as_str().unwrap();
    let wrong: Vec<String> = validators[name]
        .iter_errors(body)
        .map(|error| error.to_string())
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:?}\n{body:#}");
}

#[test]
fn every_type_of_event_has_a_schema_that_its_example_meets_and_others_do_not() {
    let validators = validators();
    let names: BTreeSet<&str> = validators.keys().map(String::as_str).collect();
    assert_eq!(names, EventType::iter().map(EventType::name).collect());
    let document = catalogue::document();
    for entry in document["events"].as_array().unwrap() {
        assert!(
            entry["schema"].get("$defs").is_none() && !entry["schema"].to_string().contains("$ref")
        );
        let example = &entry["example"];
        check(&validators, example);
        for other in validators.keys().filter(|name| **name != entry["name"]) {
            assert!(!validators[other].is_valid(example));
        }
        for name in example.as_object().unwrap().keys() {
            let mut less = example.clone();
            less.as_object_mut().unwrap().remove(name);
            let optional = name == "triggeredBy";
            let validator = &validators[entry["name"].as_str().unwrap()];
            assert_eq!(
                validator.is_valid(&less),
                optional,
                "{name} of {}",
                entry["name"]
            );
            let mut wrong = example.clone();
            wrong[name] = json!({ "unheard": "of" });
            assert!(!validator.is_valid(&wrong), "{name} of {}", entry["name"]);
        }
        for part in entry["schema"]["properties"].as_object().unwrap().values() {
            assert!(
                part["description"]
                    .as_str()
                    .is_some_and(|text| text.ends_with('.')),
                "{part}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_what_the_catalogue_says() {
    on_both(&[], async |world| {
        let validators = validators();
        let receiver = Receiver::start().await;
        let all: Vec<EventType> = EventType::iter().collect();
        let id = world.webhook(&receiver.url, Some(all)).await.webhook.id;
        for (connector, user, password) in [
            ("0", "user-ok", "password-ok"),
            ("0", "user-ok", "wrong"),
            ("0", "user-locked", "password-ok"),
            ("0", "user-unavailable", "password-ok"),
            ("0", "user-ok-account-error", "password-ok"),
            ("3", "user-ok", "password-ok"),
        ] {
            world.connect(connector, &[("user", user), ("password", password)]).await;
        }
        let item = world.connected().await;
        for days in [1, 4, 30] {
            world.advance(days * 24 * 3_600);
            world.updated(item, &[("user", "user-ok"), ("password", "password-ok")]).await;
        }
        item::delete(&world.app, &world.principal, item).await.unwrap();
        for kind in EventType::iter() {
            let send = "mutation($id: ID!, $type: EventType!) { sendTestEvent(input: { webhookId: $id, type: $type }) { delivery { id } } }";
            world.data(send, json!({ "id": id, "type": kind })).await;
        }
        world.settle().await;
        let mut real: BTreeSet<String> = BTreeSet::new();
        let requests = receiver.received();
        for one in &requests {
            let body = one.json();
            check(&validators, &body);
            if body.get("test").is_none() {
                real.insert(body["event"].as_str().unwrap().to_owned());
            }
        }
        println!("{} bodies checked, real ones: {real:?}", requests.len());
        for name in ["item/created", "item/updated", "item/error", "item/deleted", "item/waiting_user_input", "item/login_succeeded",
            "item/status_changed", "transactions/created"] {
            assert!(real.contains(name), "{name} was not sent: {real:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_served_to_anyone_and_may_be_kept() {
    let test = TestApp::start(ponte::db::Engine::Sqlite).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(http::serve(
        test.app.clone(),
        graphql::build(test.app.clone()),
        listener,
        None,
    ));
    let client = reqwest::Client::new();
    for (path, expected) in [
        ("/webhooks/catalogue.json", catalogue::document()),
        ("/webhooks/asyncapi.json", asyncapi::document()),
    ] {
        let answer = client.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("application/json")
        );
        assert_eq!(answer.headers()["cache-control"], "public, max-age=3600");
        let tag = answer.headers()["etag"].clone();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body, expected);
        let again = client
            .get(format!("{base}{path}"))
            .header("if-none-match", tag)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), 304);
        assert_eq!(again.text().await.unwrap(), "");
        let posted = client.post(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(posted.status(), 405);
    }
    test.app.stop();
}

#[test]
fn the_asyncapi_document_names_every_event_and_its_references_lead_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    if let (true, Some(reference)) = (name == "$ref", field.as_str()) {
                        found.push(reference);
                    }
                    references(field, found);
                }
            }
            Value::Array(list) => list.iter().for_each(|one| references(one, found)),
            _ => {}
        }
    }
    let document = asyncapi::document();
    assert_eq!(document["asyncapi"], "3.0.0");
    let messages = document["components"]["messages"].as_object().unwrap();
    let kinds: BTreeSet<String> = EventType::iter().map(|kind| kind.to_string()).collect();
    assert_eq!(messages.keys().cloned().collect::<BTreeSet<_>>(), kinds);
    for message in messages.values() {
        let entry = catalogue::entries()
            .iter()
            .find(|entry| entry.name == message["name"])
            .unwrap();
        assert_eq!(message["payload"]["schema"], entry.schema);
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() >= 3 * kinds.len());
    for reference in found {
        assert!(
            document
                .pointer(reference.trim_start_matches('#'))
                .is_some(),
            "{reference}"
        );
    }
}
