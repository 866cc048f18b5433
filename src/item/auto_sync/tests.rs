//! Where an Item stands, case by case.

use entity::kind::Product;
use serde_json::json;

use super::*;
use crate::connector::{ConnectorKind, Field};

const DAY: Duration = Duration::from_hours(24);
const NOW: Timestamp = Timestamp(1_773_662_400_000);
const BOUNDS: Bounds = Bounds {
    offline: false,
    logins: Some(3),
    connector: Limit {
        at_once: None,
        per_minute: None,
    },
};

fn application(environment: Environment, hours: Option<i32>) -> KnownApplication {
    KnownApplication {
        id: Uuid::nil(),
        name: "Tests".to_owned(),
        environment,
        auto_sync_hours: hours,
        auto_sync_minutes: None,
        token_version: 1,
        webhook_public_key: None,
        disabled: false,
    }
}

pub fn form() -> Descriptor {
    Descriptor {
        id: 1,
        name: "Bank",
        kind: ConnectorKind::PersonalBank,
        country: None,
        institution_url: None,
        image_url: None,
        primary_color: None,
        reset_password_url: None,
        credentials: vec![Field {
            name: "user".to_owned(),
            ..Field::default()
        }],
        products: vec![Product::Accounts],
        has_mfa: false,
        oauth: false,
        is_sandbox: false,
        is_open_finance: false,
        source: SourceKind::Institution,
        overlap_days: 4,
        trusts_device: false,
        has_live_balance: false,
        consent_lasts: None,
    }
}

/// An Item that was updated an hour ago.
pub fn updated() -> item::Model {
    let ended = NOW.minus(Duration::from_hours(1));
    item::Model {
        id: Uuid::nil(),
        application_id: Uuid::nil(),
        connector_id: 1,
        connect_token_id: None,
        client_user_id: None,
        webhook_url: None,
        oauth_redirect_uri: None,
        products: json!(["ACCOUNTS"]),
        credentials: Some(vec![1]),
        credentials_digest: None,
        mfa_digest: None,
        memory: None,
        upload_ids: None,
        execution_status: ExecutionStatus::Success,
        error_code: None,
        error_message: None,
        error_provider_message: None,
        error_attributes: None,
        parameter: None,
        parameter_expires_at: None,
        user_action: None,
        user_action_expires_at: None,
        status_detail: json!({}),
        failed_logins: 0,
        logins_since: None,
        logins: 0,
        person_digest: None,
        calls_at: None,
        failed_runs: 0,
        last_ended_at: Some(ended),
        last_updated_at: Some(ended),
        collected_once: true,
        auto_sync_disabled_at: None,
        auto_sync_due_at: None,
        auto_sync_dropped: None,
        auto_sync_failures: 0,
        consent_expires_at: None,
        consent_notice_at: None,
        event_sequence: 0,
        created_at: ended,
        updated_at: ended,
        deleted_at: None,
    }
}

/// An Item whose last run failed ten minutes ago.
fn failed(code: ExecutionStatus) -> item::Model {
    item::Model {
        execution_status: code,
        last_ended_at: Some(NOW.minus(Duration::from_mins(10))),
        ..updated()
    }
}

type Case<'a> = (
    &'static str,
    &'a KnownApplication,
    &'a Descriptor,
    item::Model,
    State,
    Option<Timestamp>,
);

#[test]
fn every_standing_has_its_time_and_its_reason() {
    let daily = application(Environment::Production, Some(24));
    let plain = form();
    let code = |field: &mut Field| field.mfa = true;
    let with = |change: &dyn Fn(&mut Descriptor)| {
        let mut form = form();
        change(&mut form);
        form
    };
    let one_step = with(&|form| form.credentials.iter_mut().for_each(code));
    let two_step = with(&|form| form.has_mfa = true);
    let file = with(&|form| form.source = SourceKind::File);
    let trusting = with(&|form| (form.has_mfa, form.trusts_device) = (true, true));
    let of = |change: &dyn Fn(&mut item::Model)| {
        let mut item = updated();
        change(&mut item);
        item
    };
    let retried = |failures| item::Model {
        auto_sync_failures: failures,
        ..failed(ExecutionStatus::SiteNotAvailable)
    };
    let after_success = Some(NOW.minus(Duration::from_hours(1)).plus(DAY));
    let after_failure = Some(NOW.plus(Duration::from_mins(50)));
    let disabled = KnownApplication {
        disabled: true,
        ..daily.clone()
    };
    let minutes = KnownApplication {
        auto_sync_minutes: Some(90),
        ..application(Environment::Sandbox, None)
    };
    let off = application(Environment::Sandbox, None);
    let development = application(Environment::Development, Some(8));
    let refused_before = item::Model {
        auto_sync_dropped: Some(AutoSyncDrop::LoginError),
        ..failed(ExecutionStatus::ConnectionError)
    };
    let in_vain = item::Model {
        auto_sync_dropped: Some(AutoSyncDrop::RetriesExhausted),
        ..retried(5)
    };
    let consent = |ends| of(&|item| item.consent_expires_at = ends);
    let in_half_an_hour = Some(NOW.plus(Duration::from_mins(30)));
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        ("after a success", &daily, &plain, updated(), State::Scheduled, after_success),
        ("every 90 minutes", &minutes, &plain, updated(), State::Scheduled, in_half_an_hour),
        ("after a failure", &daily, &plain, retried(0), State::Retrying, after_failure),
        ("after four repetitions", &daily, &plain, retried(4), State::Retrying, after_failure),
        ("repeated in vain", &daily, &plain, in_vain, State::Dropped, None),
        ("refused", &daily, &plain, failed(ExecutionStatus::InvalidCredentials), State::Dropped, None),
        // A client's run that failed otherwise does not bring it back.
        ("refused before", &daily, &plain, refused_before, State::Dropped, None),
        ("turned off", &daily, &plain, of(&|item| item.auto_sync_disabled_at = Some(NOW)), State::Disabled, None),
        ("running", &daily, &plain, of(&|item| item.execution_status = ExecutionStatus::Merging), State::Running, None),
        ("a consent that has ended", &daily, &plain, consent(Some(NOW)), State::Dropped, None),
        ("one that ends before the next run", &daily, &plain, consent(after_success), State::Dropped, None),
        ("one that ends after it", &daily, &plain, consent(Some(NOW.plus(DAY))), State::Scheduled, after_success),
        ("one-step MFA", &daily, &one_step, updated(), State::NotAvailable, None),
        ("two-step MFA", &daily, &two_step, updated(), State::NotAvailable, None),
        ("a trusted device", &daily, &trusting, updated(), State::Scheduled, after_success),
        ("a file", &daily, &file, updated(), State::NotAvailable, None),
        ("nothing kept", &daily, &plain, of(&|item| item.credentials = None), State::NotAvailable, None),
        ("no interval", &off, &plain, updated(), State::NotAvailable, None),
        ("development", &development, &plain, updated(), State::NotAvailable, None),
        ("a disabled application", &disabled, &plain, updated(), State::NotAvailable, None),
    ];
    for (name, application, form, item, state, next_at) in cases {
        let standing = judge(Some(application), form, &item, BOUNDS, NOW);
        assert_eq!(
            (standing.state, standing.next_at),
            (state, next_at),
            "{name}"
        );
        assert_eq!(
            standing.reason.is_none(),
            state == State::Scheduled,
            "{name}"
        );
    }
}

#[test]
fn the_next_run_waits_for_whatever_is_used_up() {
    let eight_hourly = application(Environment::Production, Some(8));
    let midnight = NOW.plus(Duration::from_hours(12));
    let used_up = |item| item::Model {
        logins_since: Some(midnight.minus(DAY)),
        logins: 3,
        ..item
    };
    let asks = |until: Timestamp| item::Model {
        error_message: Some("Used up.".to_owned()),
        error_attributes: Some(json!({ RETRY_AT: until.to_string() })),
        ..failed(ExecutionStatus::Error)
    };
    let logins = Some(
        "this day's logins are used up, so that the institution locks nobody out; the next run comes when the next day begins in UTC",
    );
    let hourly = "the last run failed with ERROR; it is repeated hourly, 0 of 5 times so far";
    let (soon, late) = (NOW.plus(Duration::from_mins(1)), midnight.plus(DAY));
    let after_failure = NOW.plus(Duration::from_mins(50));
    let yesterday = item::Model {
        logins_since: Some(midnight.minus(DAY).minus(DAY)),
        ..used_up(updated())
    };
    #[rustfmt::skip]
    let cases = [
        ("after a success", used_up(updated()), State::Scheduled, midnight, logins),
        ("after a failure", used_up(failed(ExecutionStatus::Error)), State::Retrying, midnight, logins),
        ("used up yesterday", yesterday, State::Scheduled, NOW.plus(Duration::from_hours(7)), None),
        ("what a failure asks for", asks(late), State::Retrying, late, Some("Used up.")),
        ("the later of two", used_up(asks(late)), State::Retrying, late, Some("Used up.")),
        ("the other of two", used_up(asks(soon)), State::Retrying, midnight, logins),
        ("what comes before", asks(soon), State::Retrying, after_failure, Some(hourly)),
    ];
    for (name, item, state, next, reason) in cases {
        let standing = judge(Some(&eight_hourly), &form(), &item, BOUNDS, NOW);
        assert_eq!(
            (standing.state, standing.next_at, standing.reason.as_deref()),
            (state, Some(next), reason),
            "{name}"
        );
    }
}

#[test]
fn what_holds_a_run_back_is_told() {
    let eight_hourly = application(Environment::Production, Some(8));
    let mut regulated = form();
    regulated.is_open_finance = true;
    let told = |form: &Descriptor, item: &item::Model, bounds: Bounds, now: Timestamp| {
        judge(Some(&eight_hourly), form, item, bounds, now).reason
    };
    let warned = |code: &str| item::Model {
        products: json!(["ACCOUNTS", "TRANSACTIONS", "LOANS"]),
        status_detail: json!({
            "ACCOUNTS": { "warnings": [] },
            "TRANSACTIONS": { "warnings": [{ "code": code, "message": "Told." }] },
            "LOANS": { "warnings": [{ "code": "423", "message": "Told." }] },
        }),
        ..updated()
    };
    let some = |text: &str| Some(text.to_owned());
    let april = "2026-04-01T03:00:00.000Z";
    let left_out = |products: &str| {
        Some(format!(
            "this month's calls for {products} are used up for this person at the institution; runs leave out what needs them until {april}"
        ))
    };
    let used_up = warned("TXN_003");
    assert_eq!(
        told(&regulated, &used_up, BOUNDS, NOW),
        left_out("TRANSACTIONS, LOANS")
    );
    assert_eq!(
        told(&regulated, &warned("TXN_001"), BOUNDS, NOW),
        left_out("LOANS")
    );
    // Codes of institutions that nobody regulates mean something else.
    assert_eq!(told(&form(), &used_up, BOUNDS, NOW), None);
    let (in_april, due) = (NOW.plus(DAY * 16), NOW.plus(DAY));
    let turn = some("the run is due and begins when its turn comes");
    assert_eq!(
        told(&regulated, &used_up, BOUNDS, in_april),
        turn,
        "a new month"
    );
    assert_eq!(
        told(&regulated, &used_up, BOUNDS, due),
        left_out("TRANSACTIONS, LOANS")
    );
    let limited = Bounds {
        connector: Limit {
            at_once: Some(20),
            per_minute: Some(120),
        },
        ..BOUNDS
    };
    assert_eq!(told(&form(), &updated(), limited, NOW), None);
    let bears = some(
        "the run is due and begins when its turn comes: this connector is asked to bear at most 20 runs at once and 120 requests a minute",
    );
    assert_eq!(told(&form(), &updated(), limited, due), bears);
    let offline = Bounds {
        offline: true,
        ..limited
    };
    let waits =
        some("the connector is OFFLINE; the run waits until its institution is reached again");
    for item in [&used_up, &updated()] {
        for now in [NOW, due] {
            assert_eq!(told(&regulated, item, offline, now), waits);
        }
    }
}

#[test]
fn jitter_is_a_tenth_of_what_is_waited_for_and_half_an_hour_at_most() {
    for (hours, state, most) in [
        (24, State::Scheduled, Duration::from_mins(30)),
        (8, State::Scheduled, Duration::from_mins(30)),
        (1, State::Scheduled, Duration::from_mins(6)),
        (24, State::Retrying, Duration::from_mins(6)),
    ] {
        let standing = AutoSync {
            state,
            reason: None,
            interval: Some(Duration::from_hours(hours)),
            next_at: Some(NOW),
        };
        assert_eq!(window(&standing), Some((NOW, most)));
        let rng = Rng::seeded(hours);
        let drawn: Vec<_> = (0..1_000).map(|_| jitter(&rng, most)).collect();
        assert!(drawn.iter().all(|jitter| *jitter <= most));
        // All over the window, not at one end of it.
        for part in 0..10 {
            let (from, to) = (most * part / 10, most * (part + 1) / 10);
            let there = drawn.iter().filter(|one| **one >= from && **one < to);
            assert!((50..200).contains(&there.count()));
        }
    }
}
