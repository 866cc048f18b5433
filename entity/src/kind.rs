//! The closed vocabularies of the domain, stored as the text that the public schema shows.
//!
//! Every enumeration prints and parses its public spelling (`SCREAMING_SNAKE_CASE`), which is also what the database
//! holds, so that a row can be read by a person.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumIter as StrumIter, EnumString, IntoStaticStr};

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Display, EnumString,
            IntoStaticStr, StrumIter, EnumCount, DeriveActiveEnum,
        )]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        #[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
        #[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The public spelling.
            pub fn as_str(self) -> &'static str { self.into() }
        }
    };
}

vocabulary! {
    /// What an application is for.
    Environment {
        /// Trying things out; the first application of an embedded database.
        Sandbox,
        /// Building against real institutions.
        Development,
        /// Serving real users.
        Production,
    }
}

vocabulary! {
    /// Who caused an execution.
    TriggeredBy {
        /// The end user, through a connect token.
        User,
        /// The application, through an API key.
        Client,
        /// The scheduler.
        Sync,
        /// The operator.
        Internal,
    }
}

vocabulary! {
    /// Why an Item has left automatic runs.
    AutoSyncDrop {
        /// The institution refused its login.
        LoginError,
        /// A failed run was repeated as often as that is done.
        RetriesExhausted,
    }
}

vocabulary! {
    /// A normalised family of data that an Item can collect.
    Product {
        /// Bank accounts.
        Accounts,
        /// Credit-card accounts.
        CreditCards,
        /// Movements of every account.
        Transactions,
        /// Who paid and who received.
        PaymentData,
        /// Positions.
        Investments,
        /// Movements of positions.
        InvestmentsTransactions,
        /// Who the holder is.
        Identity,
        /// Brokerage notes.
        BrokerageNote,
        /// Portability of pension plans.
        MoveSecurity,
        /// Loans and financing.
        Loans,
        /// Statements as documents.
        AccountStatements,
    }
}

vocabulary! {
    /// Where the latest execution of an Item stands; the Item's status is derived from it.
    ExecutionStatus {
        /// The row is being made.
        Creating,
        /// Waiting for a worker.
        Created,
        /// The Item could not be set up.
        CreateError,
        /// Logging in.
        LoginInProgress,
        /// Checking the user's answer.
        LoginMfaInProgress,
        /// Waiting for a typed value.
        WaitingUserInput,
        /// Waiting for an act elsewhere.
        WaitingUserAction,
        /// Reading bank accounts.
        AccountsInProgress,
        /// Reading credit cards.
        #[strum(serialize = "CREDITCARDS_IN_PROGRESS")]
        #[serde(rename = "CREDITCARDS_IN_PROGRESS")]
        #[sea_orm(string_value = "CREDITCARDS_IN_PROGRESS")]
        CreditcardsInProgress,
        /// Reading transactions.
        TransactionsInProgress,
        /// Reading payment data.
        PaymentDataInProgress,
        /// Reading investments.
        InvestmentsInProgress,
        /// Reading movements of investments.
        InvestmentsTransactionsInProgress,
        /// Reading the holder's identity.
        IdentityInProgress,
        /// Reading loans.
        LoansInProgress,
        /// Reading statements.
        AccountStatementsInProgress,
        /// Storing what was collected.
        Merging,
        /// Everything requested was updated.
        Success,
        /// Some products were updated, some failed.
        PartialSuccess,
        /// Nothing usable was collected.
        Error,
        /// Collected, but not stored.
        MergeError,
        /// The institution refused the credentials.
        InvalidCredentials,
        /// The institution refused the user's answer.
        InvalidCredentialsMfa,
        /// The user did not answer in time.
        UserInputTimeout,
        /// A session is open elsewhere.
        AlreadyLoggedIn,
        /// The institution blocked access.
        AccountLocked,
        /// The password must be changed at the institution.
        AccountCredentialsReset,
        /// The user must do something at the institution.
        AccountNeedsAction,
        /// The user's approval is outstanding.
        UserAuthorizationPending,
        /// The user refused, or did not approve.
        UserAuthorizationNotGranted,
        /// The user withdrew consent at the institution.
        UserAuthorizationRevoked,
        /// This kind of account is not handled.
        UserNotSupported,
        /// The institution is down.
        SiteNotAvailable,
        /// The institution could not be reached.
        ConnectionError,
        /// An unknown failure.
        UnexpectedError,
    }
}

vocabulary! {
    /// The coarse state of an Item.
    ItemStatus {
        /// A run is under way.
        Updating,
        /// The user must type a value.
        WaitingUserInput,
        /// The user must act elsewhere.
        WaitingUserAction,
        /// Collected data is being stored.
        Merging,
        /// The last run was good, fully or in part.
        Updated,
        /// The credentials or authorisation no longer work; no run until they are replaced.
        LoginError,
        /// The credentials are believed good, the last run failed.
        Outdated,
    }
}

vocabulary! {
    /// How well a connector works.
    ConnectorStatus {
        /// Logins reach the institution.
        Online,
        /// Some do not.
        Unstable,
        /// Nearly none does.
        Offline,
    }
}

vocabulary! {
    /// Family of an account.
    AccountType {
        /// Deposits: checking, savings, cash at a broker.
        Bank,
        /// Money owed: credit cards.
        Credit,
    }
}

vocabulary! {
    /// Kind of an account within its family.
    AccountSubtype {
        /// Checking account.
        CheckingAccount,
        /// Savings account.
        SavingsAccount,
        /// Credit card.
        CreditCard,
        /// A kind the institution names differently.
        Unknown,
    }
}

vocabulary! {
    /// Direction of a movement, from the holder's point of view.
    TransactionType {
        /// Money out (also a card purchase).
        Debit,
        /// Money in (also a payment of the card).
        Credit,
    }
}

vocabulary! {
    /// Whether the institution has settled a movement.
    TransactionStatus {
        /// Announced, may still change.
        Pending,
        /// Settled.
        Posted,
    }
}

vocabulary! {
    /// Who has decided the category of a movement.
    CategorySource {
        /// The user.
        User,
        /// A rule of the application.
        Rule,
        /// The institution.
        Institution,
        /// The classifier.
        Classifier,
    }
}

vocabulary! {
    /// How the text of a rule is compared.
    CategoryMatch {
        /// It is the whole description.
        Exact,
        /// The description begins with it.
        StartsWith,
        /// The description ends with it.
        EndsWith,
        /// It is somewhere in the description.
        Contains,
    }
}

vocabulary! {
    /// What happened.
    EventType {
        /// A new Item finished its first run.
        ItemCreated,
        /// A later run finished.
        ItemUpdated,
        /// A run failed.
        ItemError,
        /// An Item was deleted.
        ItemDeleted,
        /// An Item waits for a typed value.
        ItemWaitingUserInput,
        /// An Item waits for an act elsewhere.
        ItemWaitingUserAction,
        /// The institution accepted the login.
        ItemLoginSucceeded,
        /// A consent ends soon.
        ItemConsentExpiring,
        /// A consent has ended.
        ItemConsentExpired,
        /// An execution moved to another state.
        ItemStatusChanged,
        /// The health of a connector changed.
        ConnectorStatusUpdated,
        /// Transactions were inserted.
        TransactionsCreated,
        /// Transactions were changed.
        TransactionsUpdated,
        /// Transactions were removed.
        TransactionsDeleted,
        /// A webhook was disabled because its endpoint is gone or kept failing.
        WebhookDisabled,
    }
}

impl EventType {
    /// Whether webhooks that name no types are told of it.
    pub fn is_default(self) -> bool {
        self != Self::ItemStatusChanged
    }

    /// The name used in webhooks, such as `item/updated`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ItemCreated => "item/created",
            Self::ItemUpdated => "item/updated",
            Self::ItemError => "item/error",
            Self::ItemDeleted => "item/deleted",
            Self::ItemWaitingUserInput => "item/waiting_user_input",
            Self::ItemWaitingUserAction => "item/waiting_user_action",
            Self::ItemLoginSucceeded => "item/login_succeeded",
            Self::ItemConsentExpiring => "item/consent_expiring",
            Self::ItemConsentExpired => "item/consent_expired",
            Self::ItemStatusChanged => "item/status_changed",
            Self::ConnectorStatusUpdated => "connector/status_updated",
            Self::TransactionsCreated => "transactions/created",
            Self::TransactionsUpdated => "transactions/updated",
            Self::TransactionsDeleted => "transactions/deleted",
            Self::WebhookDisabled => "webhook/disabled",
        }
    }
}

vocabulary! {
    /// What can change, as the feed of changes tells it.
    EntityKind {
        /// A user's connection.
        Item,
        /// What a user allowed.
        Consent,
        /// An account or card.
        Account,
        /// A movement.
        Transaction,
        /// A holder.
        Identity,
        /// A position.
        Investment,
        /// A movement of a position.
        InvestmentTransaction,
        /// A loan.
        Loan,
        /// A bill of a card.
        Bill,
        /// A statement of an account.
        Statement,
    }
}

impl EntityKind {
    /// The table that holds such entities.
    pub fn table(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Consent => "consent",
            Self::Account => "account",
            Self::Transaction => "account_transaction",
            Self::Identity => "identity",
            Self::Investment => "investment",
            Self::InvestmentTransaction => "investment_transaction",
            Self::Loan => "loan",
            Self::Bill => "bill",
            Self::Statement => "statement",
        }
    }
}

vocabulary! {
    /// Family of a position.
    InvestmentType {
        /// Fund of many holders.
        MutualFund,
        /// Share, or what derives from one.
        Equity,
        /// Lent for interest.
        FixedIncome,
        /// Fund that is traded like a share.
        Etf,
        /// Structured note.
        Coe,
        /// Plan for retirement.
        Security,
        /// Anything else.
        Other,
        /// A family the institution names differently.
        Unknown,
    }
}

vocabulary! {
    /// Kind of movement of a position.
    InvestmentTransactionType {
        /// Bought.
        Buy,
        /// Sold.
        Sell,
        /// Taxed.
        Tax,
        /// Moved from or to another institution.
        Transfer,
        /// Interest, dividends.
        Interest,
        /// Part of it was paid back.
        Amortization,
        /// A kind the institution names differently.
        Unknown,
    }
}

vocabulary! {
    /// Family of a loan.
    LoanKind {
        /// Money for anything.
        Loan,
        /// Money for one thing.
        Financing,
        /// Money for what others owe.
        InvoiceFinancing,
        /// An account that is overdrawn without agreement.
        UnarrangedAccountOverdraft,
        /// A family the institution names differently.
        Unknown,
    }
}

vocabulary! {
    /// What a consent through Open Finance allows, by its regulated code.
    OpenFinancePermission {
        /// All about the holder.
        RegistrationAll,
        /// Who the holder is.
        RegistrationIdentifications,
        /// What the holder does and earns.
        RegistrationQualifications,
        /// What else the holder has at the institution.
        RegistrationFinancialRelations,
        /// All about accounts.
        AccountsAll,
        /// Which accounts there are.
        AccountsList,
        /// What is on accounts.
        AccountsBalances,
        /// How far accounts may be overdrawn.
        AccountsLimits,
        /// Movements of accounts.
        AccountsTransactions,
        /// All about cards.
        CreditCardsAll,
        /// Which cards there are.
        CreditCardsList,
        /// Limits of cards.
        CreditCardsLimits,
        /// Movements of cards.
        CreditCardsTransactions,
        /// Bills of cards.
        CreditCardsBills,
        /// Loans and financing.
        CreditOperationsAll,
        /// Positions and their movements.
        InvestmentsAll,
        /// Foreign exchange.
        ExchangesAll,
    }
}

vocabulary! {
    /// What became of an entity.
    ChangeAction {
        /// It is new.
        Created,
        /// It is different.
        Updated,
        /// It is gone.
        Deleted,
    }
}

vocabulary! {
    /// Where a delivery stands.
    DeliveryStatus {
        /// Due now or later.
        Pending,
        /// Accepted by the endpoint.
        Succeeded,
        /// Given up.
        Failed,
        /// Left out when its webhook was enabled again.
        Skipped,
    }
}

vocabulary! {
    /// How much the requests of a webhook tell.
    WebhookPayload {
        /// All that the event says.
        Full,
        /// Which event it is, of which Item, and when.
        Thin,
    }
}

vocabulary! {
    /// What was done, as the audit log tells it.
    AuditAction {
        /// An application was made.
        ApplicationCreated,
        /// An application got a new client secret.
        ApplicationSecretRotated,
        /// An application got new keys for the endpoints of its Items.
        ApplicationWebhookSecretRotated,
        /// An application got a new key for encrypted parameters.
        ApplicationParametersKeyRotated,
        /// The interval of an application's automatic runs was changed.
        ApplicationUpdated,
        /// An application was disabled.
        ApplicationDisabled,
        /// Everything was wrapped with a new master key.
        MasterKeyRotated,
        /// The database was put back from a copy.
        DatabaseRestored,
        /// An API key was issued.
        ApiKeyCreated,
        /// Attempts to get one failed.
        ApiKeyRefused,
        /// A connect token was issued.
        ConnectTokenCreated,
        /// An Item was made.
        ItemCreated,
        /// A run of an Item was asked for.
        ItemUpdated,
        /// The question of an Item was answered.
        ItemMfaSent,
        /// An Item was taken out of automatic runs.
        ItemAutoSyncDisabled,
        /// The failed logins of an Item were forgotten.
        ItemUnlocked,
        /// Notice was given of a connector's end.
        ConnectorRetired,
        /// That notice was taken back.
        ConnectorKept,
        /// An Item was deleted.
        ItemDeleted,
        /// An institution was asked for a balance.
        BalanceFetched,
        /// Something was done to a made-up bank.
        SandboxChanged,
        /// A file was uploaded.
        UploadCreated,
        /// A webhook was registered.
        WebhookCreated,
        /// A webhook was changed.
        WebhookUpdated,
        /// A webhook was deleted.
        WebhookDeleted,
        /// A webhook got a new secret.
        WebhookSecretRotated,
        /// Events were delivered again to a webhook.
        WebhookReplayed,
        /// A test event was sent to a webhook.
        TestEventSent,
        /// A delivery was sent again.
        DeliveryRetried,
        /// A transaction got a category from its user, or lost it.
        TransactionUpdated,
        /// A rule of categories was made or changed.
        CategoryRuleCreated,
        /// A rule of categories was deleted.
        CategoryRuleDeleted,
        /// An export of a client user was begun.
        ClientUserExported,
        /// A client user's data was ordered to be erased.
        ClientUserDeleted,
        /// Many rows of personal data were read.
        BulkRead,
    }
}

vocabulary! {
    /// Who did something, as the audit log tells it.
    AuditActor {
        /// A server of the application.
        ApiKey,
        /// An end user, through a connect token.
        ConnectToken,
        /// Whoever presented a client id and secret.
        ClientSecret,
        /// An end user's browser, sent back by an institution.
        Browser,
        /// The operator, at the command line.
        Operator,
        /// The server by itself.
        Ponte,
    }
}

vocabulary! {
    /// A call of a regulated interface whose number is limited.
    RegulatedCall {
        /// Which accounts there are.
        AccountList,
        /// What is on them.
        AccountBalance,
        /// Movements of the last six days.
        TransactionsRecent,
        /// Older movements.
        TransactionsOlder,
        /// Which cards there are.
        CardList,
        /// Their bills.
        CardBills,
        /// Their limits.
        CardLimits,
        /// Which investments there are.
        InvestmentList,
        /// What they are.
        InvestmentDetail,
        /// What they are worth.
        InvestmentBalance,
        /// Movements of investments of the last six days.
        InvestmentTransactionsRecent,
        /// Older movements of investments.
        InvestmentTransactionsOlder,
        /// Who the holder is.
        Identity,
        /// Which loans there are.
        LoanList,
        /// Their instalments and payments.
        LoanPayments,
    }
}
