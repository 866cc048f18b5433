use super::*;

fn settled_sum(rows: &[TransactionRecord]) -> Amount {
    rows.iter()
        .filter(|row| row.status == TransactionStatus::Posted)
        .fold(Amount::ZERO, |sum, row| {
            sum.checked_add(row.amount).expect("small")
        })
}

#[tokio::test]
async fn a_first_run_sees_a_year_of_one_account_and_one_card() {
    let bank = plain();
    let today = day(FIRST_DAY);
    let seen = see(&*bank, "user-ok", today, year_to(today)).await;
    let kinds: Vec<_> = seen.accounts.iter().map(|a| (a.kind, a.subtype)).collect();
    assert_eq!(
        kinds,
        [
            (AccountType::Bank, AccountSubtype::CheckingAccount),
            (AccountType::Credit, AccountSubtype::CreditCard),
        ]
    );
    for account in &seen.accounts {
        assert!(account.owner.is_some() && account.owner == seen.identity.full_name);
        assert_eq!(account.tax_number, seen.identity.document);
        let is_bank = account.kind == AccountType::Bank;
        assert_eq!(
            (account.bank_data.is_some(), account.credit_data.is_some()),
            (is_bank, !is_bank)
        );
        assert!(!account.balance.expect("known").is_negative());
    }
    let covered = Window {
        from: today - Days::new(364),
        to: today,
    };
    let expected: Vec<_> = seen
        .accounts
        .iter()
        .map(|a| Coverage {
            account: a.key.clone(),
            window: covered,
            complete: true,
        })
        .collect();
    assert_eq!(seen.covered, expected);

    let weekly = seen.checking().len() / 52;
    assert!((2..=4).contains(&weekly), "{weekly} a week");
    for rows in [seen.checking(), seen.card()] {
        assert!(rows.is_sorted_by_key(|row| row.posted_on));
        assert!((today - rows[0].posted_on).num_days() > 350);
    }
    let recent: Vec<_> = seen
        .card()
        .iter()
        .filter(|row| row.posted_on > today - Days::new(31))
        .collect();
    assert!(
        (6..=14).contains(&recent.len()),
        "{} recent card rows",
        recent.len()
    );
    assert_eq!(
        recent
            .iter()
            .filter(|row| row.description.contains(" PARC "))
            .count(),
        1
    );
    let ids: BTreeSet<_> = seen
        .checking()
        .iter()
        .filter_map(|row| row.id.as_ref())
        .collect();
    assert_eq!(ids.len(), seen.checking().len());
    assert!(seen.card().iter().all(|row| row.id.is_none()));
}

#[tokio::test]
async fn the_same_day_shows_exactly_the_same() {
    let today = day(FIRST_DAY);
    for user in ["user-ok", "user-ok-two-checking-accounts", "user-ok-perf"] {
        let once = see(&*plain(), user, today, year_to(today)).await;
        let again = see(&*plain(), user, today, year_to(today)).await;
        assert_eq!(once, again, "{user}");
    }
    let here = see(&*plain(), "user-ok", today, year_to(today)).await;
    let other = see(&*plain(), "user-ok-perf", today, year_to(today)).await;
    assert_ne!(here.identity, other.identity);
}

#[tokio::test]
async fn a_window_is_read_and_nothing_outside_of_it() {
    let bank = plain();
    let today = day(FIRST_DAY);
    let window = Window {
        from: today - Days::new(40),
        to: today - Days::new(10),
    };
    let whole = see(&*bank, "user-ok", today, year_to(today)).await;
    let part = see(&*bank, "user-ok", today, window).await;
    for account in &whole.accounts {
        let expected: Vec<_> = whole
            .of(account)
            .iter()
            .filter(|row| (window.from..=window.to).contains(&row.posted_on))
            .cloned()
            .collect();
        assert_eq!(part.of(account), expected);
    }
    assert!(part.covered.iter().all(|covered| covered.window == window));

    let session = log_in(&*bank, "user-ok", today).await;
    let outside = Window {
        from: today + Days::new(1),
        to: today + Days::new(2),
    };
    let windows = vec![
        (whole.accounts[0].key.clone(), outside),
        ("no such account".to_owned(), window),
    ];
    let nothing = collect(&*bank, &session, Product::Transactions, windows).await;
    assert!(nothing.expect("no failure").is_empty());
}

#[tokio::test]
async fn balances_are_opening_plus_settled_rows_on_every_day() {
    let first = day(FIRST_DAY);
    let user = "user-ok-two-checking-accounts";
    let mut openings: Option<Vec<Amount>> = None;
    // From one fixed day on, so that what came before is the same opening on each of the days.
    for offset in 0..120 {
        let today = first + Days::new(offset);
        let window = Window {
            from: first - Days::new(60),
            to: today,
        };
        let seen = see(&*plain(), user, today, window).await;
        let found: Vec<_> = seen
            .accounts
            .iter()
            .map(|account| {
                let sum = settled_sum(seen.of(account));
                let balance = account.balance.expect("known");
                match account.kind {
                    AccountType::Bank => {
                        assert!(!balance.is_negative(), "{today} {balance}");
                        let last = seen.of(account).iter().rev().find_map(|row| row.balance);
                        assert_eq!(last, Some(balance), "{today}");
                        balance
                            .checked_add(sum.checked_neg().expect("small"))
                            .expect("small")
                    }
                    AccountType::Credit => balance.checked_add(sum).expect("small"),
                }
            })
            .collect();
        assert_eq!(
            openings.get_or_insert_with(|| found.clone()),
            &found,
            "{today}"
        );
        for account in &seen.accounts[..2] {
            let mut rows = seen
                .of(account)
                .iter()
                .filter_map(|row| Some((row.amount, row.balance?)));
            let (_, mut running) = rows.next().expect("rows");
            for (amount, balance) in rows {
                running = running.checked_add(amount).expect("small");
                assert_eq!(running, balance, "{today}");
            }
        }
    }
}

#[test]
fn no_household_lives_beyond_its_means() {
    let household = persona::Household {
        checking_accounts: 2,
        accounts: persona::AccountsStep::Works,
        bulk_thousands: None,
    };
    for number in 0..40 {
        let seed = Seed::of(number, "user-ok");
        for week in 0..110 {
            let today = day(FIRST_DAY) + Days::new(7 * week);
            let bank = Bank::new(seed, household.clone(), today);
            for account in bank.checking_accounts() {
                let data = account.bank_data.expect("a bank account");
                assert_eq!(
                    data["overdraftUsedLimit"], "0.00",
                    "{number} {today} {data}"
                );
            }
            let data = bank.card().credit_data.expect("a card");
            let amount = |name: &str| {
                data[name]
                    .as_str()
                    .expect("text")
                    .parse::<Amount>()
                    .expect("decimal")
            };
            let (available, limit) = (amount("availableCreditLimit"), amount("creditLimit"));
            assert!(
                !available.is_negative() && available <= limit,
                "{number} {today} {data}"
            );
            assert!(
                !amount("minimumPayment").is_negative(),
                "{number} {today} {data}"
            );
        }
    }
}

#[tokio::test]
async fn a_month_sees_new_settled_edited_and_deleted_rows() {
    let first = day(FIRST_DAY);
    let bank = plain();
    let (mut quiet, mut longest_quiet) = (0, 0);
    let (mut settled, mut edited, mut deleted, mut renamed) = (0, 0, 0, 0);
    let mut before = see(&*bank, "user-ok", first, year_to(first)).await;
    for offset in 1..=30 {
        let today = first + Days::new(offset);
        let after = see(&*bank, "user-ok", today, year_to(today)).await;
        let overlap = today - Days::new(4);
        let old: BTreeMap<_, _> = before.checking().iter().map(|row| (&row.id, row)).collect();
        let new: BTreeMap<_, _> = after.checking().iter().map(|row| (&row.id, row)).collect();
        for (id, row) in &old {
            let Some(now) = new.get(id) else {
                if row.posted_on > today - Days::new(365) {
                    assert_eq!(row.status, TransactionStatus::Pending);
                    assert!(row.posted_on > overlap);
                    deleted += 1;
                }
                continue;
            };
            assert_eq!((row.amount, row.posted_on), (now.amount, now.posted_on));
            if row != now {
                assert!(row.posted_on > overlap, "{row:?} {now:?}");
            }
            if row.description != now.description {
                assert!(now.description.starts_with(&row.description));
                edited += 1;
            }
            settled += usize::from(row.status != now.status);
        }
        for row in before.card() {
            let now = after
                .card()
                .iter()
                .find(|now| now.posted_on == row.posted_on && now.amount == row.amount);
            let Some(now) = now else {
                assert!(row.posted_on <= today - Days::new(365));
                continue;
            };
            if row.status == now.status {
                assert_eq!(row, now);
            } else {
                assert!(row.description.starts_with("PENDENTE - "));
                assert!(!now.description.contains("PENDENTE"));
                renamed += 1;
            }
        }
        for row in after.checking().iter().chain(after.card()) {
            let young = (today - row.posted_on).num_days() < 2;
            assert_eq!(row.status == TransactionStatus::Pending, young);
        }
        let newest = after
            .checking()
            .iter()
            .chain(after.card())
            .any(|row| row.posted_on == today);
        quiet = if newest { 0 } else { quiet + 1 };
        longest_quiet = longest_quiet.max(quiet);
        before = after;
    }
    assert!(longest_quiet <= 1, "{longest_quiet} days without a new row");
    assert!(
        settled >= 8 && edited >= 4 && deleted >= 8 && renamed >= 6,
        "settled {settled}, edited {edited}, deleted {deleted}, renamed {renamed}"
    );
}

#[tokio::test]
async fn a_failing_accounts_step_leaves_the_rest_working() {
    let bank = plain();
    let today = day(FIRST_DAY);
    let session = log_in(&*bank, "user-ok-account-error", today).await;
    let failure = collect(&*bank, &session, Product::Accounts, Vec::new()).await;
    assert_eq!(
        failure.expect_err("it fails").code,
        ExecutionStatus::SiteNotAvailable
    );
    let cards = collect(&*bank, &session, Product::CreditCards, Vec::new()).await;
    let cards = cards.expect("it works");
    let [Batch::Accounts(cards), Batch::Bills { .. }] = &cards[..] else {
        panic!("{cards:?}")
    };
    let windows = vec![(cards[0].key.clone(), year_to(today))];
    let rows = collect(&*bank, &session, Product::Transactions, windows)
        .await
        .expect("it works");
    assert!(matches!(
        &rows[..],
        [Batch::Transactions { .. }, Batch::Covered(_)]
    ));
    let identity = collect(&*bank, &session, Product::Identity, Vec::new()).await;
    assert!(matches!(
        &identity.expect("it works")[..],
        [Batch::Identity(_)]
    ));
}

#[tokio::test]
async fn a_warning_accounts_step_gives_the_accounts_and_the_warning() {
    let bank = plain();
    let session = log_in(&*bank, "user-ok-account-warning", day(FIRST_DAY)).await;
    let batches = collect(&*bank, &session, Product::Accounts, Vec::new())
        .await
        .expect("it works");
    let [Batch::Accounts(accounts), Batch::Warning(warning)] = &batches[..] else {
        panic!("{batches:?}")
    };
    assert_eq!((accounts.len(), warning.code.as_str()), (1, "ACCT_003"));
}

#[tokio::test]
async fn two_checking_accounts_are_told_apart() {
    let today = day(FIRST_DAY);
    let seen = see(
        &*plain(),
        "user-ok-two-checking-accounts",
        today,
        year_to(today),
    )
    .await;
    let keys: BTreeSet<_> = seen.accounts.iter().map(|a| &a.key).collect();
    let numbers: BTreeSet<_> = seen.accounts.iter().map(|a| &a.number).collect();
    assert_eq!((keys.len(), numbers.len(), seen.rows.len()), (3, 3, 3));
    let ids: BTreeSet<_> = seen.accounts[..2]
        .iter()
        .flat_map(|a| seen.of(a))
        .filter_map(|row| row.id.as_ref())
        .collect();
    assert_eq!(
        ids.len(),
        seen.of(&seen.accounts[0]).len() + seen.of(&seen.accounts[1]).len()
    );
}

#[tokio::test]
async fn a_large_account_has_exactly_as_many_rows_as_its_name_says() {
    for (user, expected) in [("user-ok-perf", 1_000), ("user-ok-perf-7x", 7_000)] {
        for offset in [0, 1, 200] {
            let today = day(FIRST_DAY) + Days::new(offset);
            let seen = see(&*plain(), user, today, year_to(today)).await;
            let rows = seen.checking();
            assert_eq!(rows.len(), expected, "{user}");
            assert!(rows.is_sorted_by_key(|row| row.posted_on));
            let ids: BTreeSet<_> = rows
                .iter()
                .map(|row| row.id.as_ref().expect("an id"))
                .collect();
            assert_eq!(ids.len(), expected);
            let days: BTreeSet<_> = rows.iter().map(|row| row.posted_on).collect();
            assert_eq!(days.len(), 365);
            let opening = Amount::from_cents(10_000 * 100);
            let balance = opening.checked_add(settled_sum(rows)).expect("small");
            assert_eq!(seen.accounts[0].balance, Some(balance));
        }
    }
    let window = |today: NaiveDate| Window {
        from: today - Days::new(4),
        to: today,
    };
    let today = day(FIRST_DAY);
    let before = see(&*plain(), "user-ok-perf-7x", today, window(today)).await;
    let tomorrow = today + Days::new(1);
    let after = see(&*plain(), "user-ok-perf-7x", tomorrow, window(today)).await;
    assert_eq!(before.checking(), after.checking());
}

#[tokio::test]
async fn a_large_account_comes_in_full_batches_that_are_made_as_they_are_read() {
    let bank = plain();
    let today = day(FIRST_DAY);
    let session = log_in(&*bank, "user-ok-perf-5000x", today).await;
    let accounts = collect(&*bank, &session, Product::Accounts, Vec::new())
        .await
        .expect("works");
    let [Batch::Accounts(accounts)] = &accounts[..] else {
        panic!("{accounts:?}")
    };
    let request = Request {
        product: Product::Transactions,
        windows: vec![(accounts[0].key.clone(), year_to(today))],
    };
    let mut stream = bank.collect(call_on(today), session, request);
    for _ in 0..3 {
        let batch = stream.next().await.expect("more").expect("it works");
        assert!(matches!(batch, Batch::Transactions { rows, .. } if rows.len() == BATCH_ROWS));
    }
}

#[tokio::test]
async fn the_bank_keeps_the_days_of_sao_paulo_and_a_run_keeps_its_day() {
    let bank = plain();
    let midnight_in_utc = day(FIRST_DAY).and_time(chrono::NaiveTime::MIN).and_utc();
    for (hours, expected) in [(2, day(FIRST_DAY) - Days::new(1)), (3, day(FIRST_DAY))] {
        let call = call_on(day(FIRST_DAY));
        let instant = Timestamp::from(midnight_in_utc).plus(Duration::from_hours(hours));
        let call = Call {
            clock: Clock::manual(instant),
            ..call
        };
        let values = credentials(&[("user", "user-ok"), ("password", "password-ok")]);
        let Ok(Login::Connected(session)) = bank.login(&call, &values).await else {
            panic!()
        };
        let accounts = collect(&*bank, &session, Product::CreditCards, Vec::new())
            .await
            .expect("works");
        let [Batch::Accounts(cards), Batch::Bills { .. }] = &accounts[..] else {
            panic!("{accounts:?}")
        };
        let window = Window {
            from: expected - Days::new(9),
            to: expected + Days::new(9),
        };
        let request = Request {
            product: Product::Transactions,
            windows: vec![(cards[0].key.clone(), window)],
        };
        call.clock.advance(Duration::from_hours(48));
        let batches: Vec<_> = bank
            .collect(call, session, request)
            .try_collect()
            .await
            .expect("works");
        let Some(Batch::Covered(covered)) = batches.last() else {
            panic!("{batches:?}")
        };
        assert_eq!(covered.window.to, expected);
    }
}
