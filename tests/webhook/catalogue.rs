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
use crate::support::{
    TestApp, id_at,
    receiver::{Answer, Receiver},
};

/// Validators of full or thin bodies by name of event, stricter than what is served: nothing that is not described.
fn validators(part: &str) -> HashMap<String, Validator> {
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
            let schema = entry.pointer(part).unwrap();
            jsonschema::draft202012::meta::validate(schema).unwrap();
            (entry["name"].as_str().unwrap().to_owned(), strict(schema))
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
fn every_type_of_event_has_schemas_that_their_examples_meet_and_others_do_not() {
    let document = catalogue::document();
    for part in ["", "/thin"] {
        let validators = validators(&format!("{part}/schema"));
        let names: BTreeSet<&str> = validators.keys().map(String::as_str).collect();
        assert_eq!(names, EventType::iter().map(EventType::name).collect());
        for entry in document["events"].as_array().unwrap() {
            let schema = entry.pointer(&format!("{part}/schema")).unwrap();
            assert!(schema.get("$defs").is_none() && !schema.to_string().contains("$ref"));
            for part in schema["properties"].as_object().unwrap().values() {
                let text = part["description"].as_str().unwrap_or_default();
                assert!(text.ends_with('.'), "{part}");
            }
            let example = entry.pointer(&format!("{part}/example")).unwrap();
            check(&validators, example);
            let name = entry["name"].as_str().unwrap();
            for other in validators.keys().filter(|other| *other != name) {
                assert!(!validators[other].is_valid(example));
            }
            for field in example.as_object().unwrap().keys() {
                let mut less = example.clone();
                less.as_object_mut().unwrap().remove(field);
                let optional = field == "triggeredBy";
                assert_eq!(
                    validators[name].is_valid(&less),
                    optional,
                    "{field} of {name}"
                );
                let mut wrong = example.clone();
                wrong[field] = json!({ "unheard": "of" });
                assert!(!validators[name].is_valid(&wrong), "{field} of {name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_what_the_catalogue_says() {
    on_both(&[], async |world| {
        let (full, thin) = (validators("/schema"), validators("/thin/schema"));
        let (receiver, told_less) = (Receiver::start().await, Receiver::start().await);
        let all: Vec<EventType> = EventType::iter().collect();
        let id = world
            .webhook(&receiver.url, Some(all.clone()))
            .await
            .webhook
            .id;
        let data = world
            .data(
                "mutation($url: String!, $all: [EventType!]) { createWebhook(input: { url: $url, payload: THIN, events: $all }) { webhook { id } } }",
                json!({ "url": told_less.url, "all": all }),
            )
            .await;
        let less = id_at(&data, "/createWebhook/webhook/id");
        let gone = Receiver::answering(Answer::Status(410)).await;
        world.webhook(&gone.url, None).await;
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
            let send = "mutation($id: ID!, $less: ID!, $type: EventType!) { \
                a: sendTestEvent(input: { webhookId: $id, type: $type }) { delivery { id } } \
                b: sendTestEvent(input: { webhookId: $less, type: $type }) { delivery { id } } }";
            world.data(send, json!({ "id": id, "less": less, "type": kind })).await;
        }
        world.settle().await;
        let mut real: BTreeSet<String> = BTreeSet::new();
        let requests = receiver.received();
        for one in &requests {
            let body = one.json();
            check(&full, &body);
            if body.get("test").is_none() {
                real.insert(body["event"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(told_less.received().len(), requests.len());
        for one in told_less.received() {
            check(&thin, &one.json());
        }
        println!("{} bodies checked, real ones: {real:?}", requests.len());
        for name in ["item/created", "item/updated", "item/error", "item/deleted", "item/waiting_user_input", "item/login_succeeded",
            "item/status_changed", "transactions/created", "webhook/disabled"] {
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
    let kinds: BTreeSet<String> = EventType::iter()
        .flat_map(|kind| [kind.to_string(), format!("{kind}_THIN")])
        .collect();
    assert_eq!(messages.keys().cloned().collect::<BTreeSet<_>>(), kinds);
    for message in messages.values() {
        let entry = catalogue::entries()
            .iter()
            .find(|entry| entry.name == message["name"])
            .unwrap();
        let schema = &message["payload"]["schema"];
        assert!(*schema == entry.schema || *schema == entry.thin.schema);
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
