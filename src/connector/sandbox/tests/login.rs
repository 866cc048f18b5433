use super::*;

async fn outcome(connector: &dyn Connector, values: &[(&str, &str)]) -> Result<(), Failure> {
    match connector
        .login(&call_on(day(FIRST_DAY)), &credentials(values))
        .await?
    {
        Login::Connected(_) => Ok(()),
        other => panic!("{other:?}"),
    }
}

const FAILING: [(&str, ExecutionStatus, Option<&str>); 9] = [
    ("user-logged", ExecutionStatus::AlreadyLoggedIn, None),
    ("user-locked", ExecutionStatus::AccountLocked, None),
    ("user-error", ExecutionStatus::UnexpectedError, None),
    ("user-unavailable", ExecutionStatus::SiteNotAvailable, None),
    (
        "user-connection-error",
        ExecutionStatus::ConnectionError,
        None,
    ),
    (
        "user-account-need-actions",
        ExecutionStatus::AccountNeedsAction,
        None,
    ),
    (
        "user-account-need-actions-provider-message",
        ExecutionStatus::AccountNeedsAction,
        Some("Atualize seus dados cadastrais no aplicativo do banco."),
    ),
    (
        "user-account-credentials-reset",
        ExecutionStatus::AccountCredentialsReset,
        None,
    ),
    (
        "user-not-supported",
        ExecutionStatus::UserNotSupported,
        None,
    ),
];

fn coded(failure: &Failure) -> (ExecutionStatus, Option<&str>) {
    (failure.code, failure.provider_message.as_deref())
}

#[tokio::test]
async fn every_persona_of_the_plain_bank_ends_as_its_name_says() {
    let bank = plain();
    for user in [
        "user-ok",
        "user-ok-two-checking-accounts",
        "user-ok-account-error",
        "user-ok-account-warning",
        "user-ok-perf",
        "user-ok-perf-12x",
    ] {
        let login = outcome(&*bank, &[("user", user), ("password", "password-ok")]).await;
        assert_eq!(login, Ok(()), "{user}");
    }
    for (user, code, words) in FAILING {
        let login = outcome(&*bank, &[("user", user), ("password", "password-ok")]).await;
        assert_eq!(coded(&login.expect_err(user)), (code, words), "{user}");
    }
    for (user, password) in [
        ("user-ok", "wrong"),
        ("user-locked", "wrong"),
        ("user-ok", ""),
        ("user-unknown", "password-ok"),
        ("", "password-ok"),
        ("USER-OK", "password-ok"),
        ("user-ok-img", "password-ok"),
        ("user-ok-phone", "password-ok"),
    ] {
        let login = outcome(&*bank, &[("user", user), ("password", password)]).await;
        let failure = login.expect_err(user);
        assert_eq!(
            coded(&failure),
            (ExecutionStatus::InvalidCredentials, None),
            "{user}"
        );
    }
    let nothing = outcome(&*bank, &[]).await.expect_err("nothing");
    assert_eq!(nothing.code, ExecutionStatus::InvalidCredentials);
}

#[tokio::test]
async fn one_step_mfa_wants_the_code_with_the_login() {
    let bank = one_step_mfa();
    let with = async |user, token| {
        let values = [
            ("user", user),
            ("password", "password-ok"),
            ("token", token),
        ];
        outcome(&*bank, &values).await
    };
    assert_eq!(with("user-ok", "123456").await, Ok(()));
    for user in ["user-ok", "user-locked"] {
        let failure = with(user, "654321").await.expect_err("a wrong token");
        assert_eq!(failure.code, ExecutionStatus::InvalidCredentialsMfa);
    }
    let failure = with("user-locked", "123456").await.expect_err("locked");
    assert_eq!(failure.code, ExecutionStatus::AccountLocked);
    let failure = with("nobody", "123456").await.expect_err("unknown");
    assert_eq!(failure.code, ExecutionStatus::InvalidCredentials);
}

/// Logs in to the two-step bank and gives these answers; the names and kinds of all questions, and how it ended.
async fn converse(
    user: &str,
    answers: &[(&str, &str)],
) -> (Vec<(String, FieldKind)>, Result<(), Failure>) {
    let (bank, call) = (two_step_mfa(), call_on(day(FIRST_DAY)));
    let values = credentials(&[("user", user), ("password", "password-ok")]);
    let mut login = bank.login(&call, &values).await;
    let mut answers = answers.iter();
    let mut asked = Vec::new();
    loop {
        match login {
            Err(failure) => return (asked, Err(failure)),
            Ok(Login::Connected(_)) => return (asked, Ok(())),
            Ok(Login::Action { action, .. }) => panic!("{action:?}"),
            Ok(Login::Question { question, session }) => {
                let text = String::from_utf8(session.0.to_vec()).expect("JSON");
                assert!(!text.contains("password-ok"));
                asked.push((question.field.name, question.field.kind));
                let answer = answers.next().expect("no further question is expected");
                login = bank.answer(&call, &session, &credentials(&[*answer])).await;
            }
        }
    }
}

#[tokio::test]
async fn two_step_mfa_asks_what_the_persona_is_asked() {
    use FieldKind::{Image, Select, Text};
    let code = ("token", "123456");
    for (user, answers, asked) in [
        ("user-ok", &[code][..], &[("token", Text)][..]),
        ("user-ok-img", &[code], &[("token", Image)]),
        ("user-ok-select", &[("token", "sms")], &[("token", Select)]),
        (
            "user-ok-phone",
            &[("phone", "phone-2"), code],
            &[("phone", Select), ("token", Text)],
        ),
        (
            "user-ok-multi-company",
            &[code, ("company", "company-1")],
            &[("token", Text), ("company", Select)],
        ),
    ] {
        let (seen, ended) = converse(user, answers).await;
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, kind)| (name.as_str(), *kind))
            .collect();
        assert_eq!((seen.as_slice(), ended), (asked, Ok(())), "{user}");
    }
}

#[tokio::test]
async fn two_step_mfa_refuses_wrong_answers() {
    let code = ("token", "123456");
    for (user, answers) in [
        ("user-ok", &[("token", "654321")][..]),
        ("user-ok", &[("other", "123456")]),
        ("user-locked", &[("token", "654321")]),
        ("user-ok-img", &[("token", "")]),
        ("user-ok-select", &[("token", "pigeon")]),
        ("user-ok-phone", &[("phone", "123456")]),
        ("user-ok-phone", &[("phone", "phone-1"), ("token", "1")]),
        ("user-ok-multi-company", &[code, ("company", "other")]),
    ] {
        let failure = converse(user, answers).await.1.expect_err(user);
        assert_eq!(
            coded(&failure),
            (ExecutionStatus::InvalidCredentialsMfa, None),
            "{user}"
        );
    }
    let (asked, ended) = converse("user-unknown", &[]).await;
    assert_eq!(asked, []);
    assert_eq!(
        ended.expect_err("unknown").code,
        ExecutionStatus::InvalidCredentials
    );
}

#[tokio::test]
async fn two_step_mfa_fails_only_after_the_question() {
    for (user, code, words) in FAILING {
        let (asked, ended) = converse(user, &[("token", "123456")]).await;
        assert_eq!(asked, [("token".to_owned(), FieldKind::Text)], "{user}");
        assert_eq!(coded(&ended.expect_err(user)), (code, words), "{user}");
    }
}

#[tokio::test]
async fn an_image_question_carries_a_png() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let image = Ask::Image.field().data.expect("an image");
    let png = BASE64_STANDARD.decode(image).expect("base64");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"));
}

#[tokio::test]
async fn a_session_that_is_not_of_this_stage_is_refused() {
    let (bank, call) = (plain(), call_on(day(FIRST_DAY)));
    let connected = log_in(&*bank, "user-ok", day(FIRST_DAY)).await;
    let garbage = Session(Zeroizing::new(b"{}".to_vec()));
    let questioned = write("user-ok", Stage::Asking(vec![Ask::Code]));
    for session in [&garbage, &connected] {
        let failure = bank
            .answer(&call, session, &credentials(&[]))
            .await
            .expect_err("refused");
        assert_eq!(failure.code, ExecutionStatus::UnexpectedError);
        let failure = bank.poll(&call, session).await.expect_err("refused");
        assert_eq!(failure.code, ExecutionStatus::UnexpectedError);
    }
    for session in [&garbage, &questioned] {
        let failure = collect(&*bank, session, Product::Accounts, Vec::new()).await;
        assert_eq!(
            failure.expect_err("refused").code,
            ExecutionStatus::UnexpectedError
        );
    }
}

#[tokio::test]
async fn a_step_takes_the_time_it_is_told_to() {
    let bank = plain();
    let step = Duration::from_millis(250);
    let call = Call {
        sandbox_step: step,
        ..call_on(day(FIRST_DAY))
    };
    let values = credentials(&[("user", "user-ok"), ("password", "password-ok")]);
    let mut login = bank.login(&call, &values);
    assert!(login.as_mut().now_or_never().is_none());
    call.clock.advance(step * 2);
    assert!(login.as_mut().now_or_never().is_none());
    call.clock.advance(step);
    let Some(Ok(Login::Connected(session))) = login.as_mut().now_or_never() else {
        panic!()
    };
    let mut taken = LOGIN_STEPS;
    for product in bank.descriptor().products.clone() {
        let request = Request {
            product,
            windows: Vec::new(),
        };
        let mut stream = bank.collect(call.clone(), session.clone(), request);
        assert!(stream.next().now_or_never().is_none(), "{product}");
        call.clock.advance(step * steps(product));
        assert!(stream.next().now_or_never().is_some(), "{product}");
        taken += steps(product);
    }
    assert_eq!(taken, 9);
}

#[test]
fn the_built_in_sandboxes_are_listed_and_their_forms_accept_their_magic_values() {
    let registry = Registry::builtin();
    let sandboxes: Vec<_> = registry
        .list()
        .map(|connector| connector.descriptor())
        .filter(|form| form.is_sandbox)
        .collect();
    let ids: Vec<_> = sandboxes.iter().map(|form| form.id).collect();
    assert_eq!(
        ids,
        [
            0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 200, 600
        ]
    );
    let asking: Vec<_> = sandboxes.iter().filter(|form| form.has_mfa).collect();
    let asking: Vec<_> = asking.iter().map(|form| form.id).collect();
    assert_eq!(asking, [3, 5, 9, 10, 18]);
    for form in sandboxes {
        let fields = form.credentials.iter().map(|field| {
            let value = match field.name.as_str() {
                "user" => "user-ok",
                "password" => "password-ok",
                "token" => "123456",
                "accountType" => "joint",
                "cooperative" => "0102",
                "cpf" => "761.092.776-73",
                "certificate" => "01936b6e-7d70-7c3e-9f56-0d5d0a7c1a11",
                other => panic!("{other}"),
            };
            (field.name.as_str(), value)
        });
        let Credentials(values) = credentials(&fields.collect::<Vec<_>>());
        assert_eq!(validate::validate(form, &values, Required::All), Ok(()));
    }
}

#[tokio::test]
async fn a_joint_account_asks_its_second_holder_too() {
    let joint = sandbox(9);
    let call = call_on(day(FIRST_DAY));
    for (with, asked) in [
        (&[][..], &["token", "secondHolderToken"][..]),
        (&[("token", "123456")], &["secondHolderToken"]),
    ] {
        for (second, ended) in [("000000", true), ("123456", false)] {
            let mut values = vec![
                ("accountType", "joint"),
                ("user", "user-ok"),
                ("password", "password-ok"),
            ];
            values.extend(with);
            let mut login = joint.login(&call, &credentials(&values)).await;
            for name in asked {
                let Ok(Login::Question { question, session }) = login else {
                    panic!("{login:?}")
                };
                assert_eq!(question.field.name, *name);
                let answer = if *name == "token" { "123456" } else { second };
                login = joint
                    .answer(&call, &session, &credentials(&[(name, answer)]))
                    .await;
            }
            match login {
                Ok(Login::Connected(_)) => assert!(ended),
                Err(failure) => {
                    assert!(!ended);
                    assert_eq!(failure.code, ExecutionStatus::InvalidCredentialsMfa);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let alone = [
        ("accountType", "single"),
        ("user", "user-ok"),
        ("password", "password-ok"),
        ("token", "123456"),
    ];
    assert_eq!(outcome(&*joint, &alone).await, Ok(()));
}

#[tokio::test]
async fn a_certificate_is_wanted_in_every_login() {
    let bank = sandbox(11);
    let values = credentials(&[("user", "user-ok"), ("password", "password-ok")]);
    let mut call = call_on(day(FIRST_DAY));
    let failure = bank
        .login(&call, &values)
        .await
        .expect_err("no certificate");
    assert_eq!(failure.code, ExecutionStatus::InvalidCredentials);
    call.files.insert(
        "certificate".to_owned(),
        b"of whatever kind".as_slice().into(),
    );
    assert!(matches!(
        bank.login(&call, &values).await,
        Ok(Login::Connected(_))
    ));
}

#[tokio::test]
async fn a_qr_code_changes_until_it_is_scanned() {
    let bank = sandbox(19);
    assert_eq!(bank.descriptor().credentials, []);
    let call = Call {
        sandbox_step: Duration::from_millis(250),
        ..call_on(day(FIRST_DAY))
    };
    let nothing = credentials(&[]);
    let mut login = bank.login(&call, &nothing);
    assert!(login.as_mut().now_or_never().is_none());
    call.clock.advance(Duration::from_secs(1));
    let mut login = login.await;
    let mut shown = BTreeSet::new();
    while let Ok(Login::Action {
        action,
        session,
        poll_after,
        delayed,
    }) = login
    {
        assert_eq!((action.kind.as_str(), delayed), ("qr", false));
        assert!(action.expires_in.is_some_and(|lasts| lasts > poll_after));
        shown.insert(action.data.expect("a code"));
        call.clock.advance(poll_after);
        login = bank.poll(&call, &session).await;
    }
    assert_eq!(shown.len(), 3);
    assert!(matches!(login, Ok(Login::Connected(_))));
}

#[tokio::test]
async fn an_approval_that_takes_time_is_awaited_and_then_kept() {
    let bank = plain();
    let call = call_on(day(FIRST_DAY));
    let values = credentials(&[
        ("user", "user-ok-auth-pending"),
        ("password", "password-ok"),
    ]);
    let Ok(Login::Action {
        action,
        session,
        poll_after,
        delayed: true,
    }) = bank.login(&call, &values).await
    else {
        panic!("it is pending")
    };
    assert_eq!(action.kind, "authorize-access");
    assert_eq!(poll_after, Duration::from_mins(2));

    call.clock.advance(Duration::from_secs(33));
    let early = bank.login(&call, &values).await.expect_err("too early");
    assert_eq!(early.code, ExecutionStatus::UserAuthorizationNotGranted);
    assert_eq!(early.attributes["remainingSeconds"], "87");
    let Ok(Login::Action { poll_after, .. }) = bank.poll(&call, &session).await else {
        panic!("it is pending still")
    };
    assert_eq!(poll_after, Duration::from_secs(87));

    call.clock.advance(poll_after);
    for _ in 0..2 {
        assert!(matches!(
            bank.login(&call, &values).await,
            Ok(Login::Connected(_))
        ));
    }
    assert!(matches!(
        bank.poll(&call, &session).await,
        Ok(Login::Connected(_))
    ));
}
