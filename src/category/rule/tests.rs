use entity::time::Timestamp;

use super::*;

fn rule(number: u128, text: &str, matching: CategoryMatch) -> category_rule::Model {
    category_rule::Model {
        id: Uuid::from_u128(number),
        application_id: Uuid::nil(),
        client_user_id: None,
        description: text.to_owned(),
        pattern: plain(text),
        match_type: matching,
        transaction_type: None,
        account_type: None,
        category_id: format!("{number:08}"),
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
    }
}

fn decide(rules: &[category_rule::Model], texts: [Option<&str>; 2]) -> Option<u32> {
    let rules = Rules::new(rules.to_vec()).expect("rules");
    let decided = rules.decide(
        texts,
        TransactionType::Debit,
        AccountSubtype::CheckingAccount,
    );
    decided.map(|id| id.parse().expect("a number"))
}

#[test]
fn texts_are_compared_without_case_accents_and_repeated_spaces() {
    use CategoryMatch::{Contains, EndsWith, Exact, StartsWith};

    for (matching, text, fits) in [
        (Exact, "pão de  açúcar", true),
        (Exact, "PAO DE", false),
        (StartsWith, "Pão", true),
        (StartsWith, "de", false),
        (EndsWith, "AÇUCAR", true),
        (EndsWith, "pao", false),
        (Contains, "o de a", true),
        (Contains, "mel", false),
    ] {
        let rules = [rule(1, text, matching)];
        let expected = fits.then_some(1);
        assert_eq!(decide(&rules, [Some(" PAO DE ACUCAR"), None]), expected);
        assert_eq!(decide(&rules, [Some("?"), Some("Pao de Acucar")]), expected);
    }
    assert_eq!(decide(&[], [Some("x"), None]), None);
}

#[test]
fn of_several_that_fit_one_is_always_asked_first() {
    use CategoryMatch::{Contains, EndsWith, Exact, StartsWith};

    // From last to first.
    let user = |mut rule: category_rule::Model| {
        rule.client_user_id = Some("ana".to_owned());
        rule
    };
    let debit = |mut rule: category_rule::Model| {
        rule.transaction_type = Some(TransactionType::Debit);
        rule
    };
    let order = [
        rule(9, "sp", Contains),
        rule(8, "sp", Contains),
        debit(rule(10, "sp", Contains)),
        rule(7, "uber", Contains),
        rule(6, "sp", EndsWith),
        rule(5, "uber", StartsWith),
        rule(4, "uber trip sp", Exact),
        user(rule(3, "trip", Contains)),
        user(rule(2, "uber trip sp", Exact)),
    ];
    for most in 1..=order.len() {
        let (rules, first) = (&order[..most], &order[most - 1]);
        let decided = decide(rules, [Some("UBER TRIP SP"), None]);
        let expected = first.category_id.parse().ok();
        assert_eq!(decided, expected);
        let mut turned = rules.to_vec();
        turned.reverse();
        assert_eq!(decide(&turned, [Some("UBER TRIP SP"), None]), expected);
    }
}

#[test]
fn a_rule_for_some_movements_leaves_the_others_alone() {
    let mut only = rule(1, "uber", CategoryMatch::Contains);
    only.transaction_type = Some(TransactionType::Credit);
    assert_eq!(decide(&[only.clone()], [Some("uber"), None]), None);
    only.transaction_type = None;
    only.account_type = Some(AccountSubtype::CreditCard);
    assert_eq!(decide(&[only.clone()], [Some("uber"), None]), None);
    only.account_type = Some(AccountSubtype::CheckingAccount);
    assert_eq!(decide(&[only], [Some("uber"), None]), Some(1));
}
