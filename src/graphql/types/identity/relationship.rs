//! What a holder does, earns and owns, and what else there is between the holder and the institution.

use super::super::{
    super::scalar::{Date, Decimal},
    document::document,
};

document!(
    /// What the holder does, earns and owns. What the institution does not tell is null or empty; words are the institution's.
    Qualifications {
        /// Tax number (CNPJ) of the institution that says so.
        company_cnpj: Option<&str> = text("companyCnpj"),
        /// By which list the occupation is named: `RECEITA_FEDERAL`, `CBO` or `OUTRO`.
        occupation_code: Option<&str> = text("occupationCode"),
        /// Occupation: a code of that list, or a text.
        occupation_description: Option<&str> = text("occupationDescription"),
        /// What a person says to earn.
        informed_income: Option<InformedIncome<'_>> = object("informedIncome"),
        /// What the holder says to own.
        informed_patrimony: Option<InformedPatrimony<'_>> = object("informedPatrimony"),
        /// What a company does.
        economic_activities: Vec<EconomicActivity<'_>> = list("economicActivities"),
        /// What a company says to take in.
        informed_revenue: Option<InformedRevenue<'_>> = object("informedRevenue"),
    }
);

document!(
    /// What a person says to earn, in reais. What the institution does not tell is null.
    InformedIncome {
        /// How often: `DIARIA`, `SEMANAL`, `QUINZENAL`, `MENSAL`, `BIMESTRAL`, `TRIMESTRAL`, `SEMESTRAL`, `ANUAL` or `OUTROS`.
        frequency: Option<&str> = text("frequency"),
        /// How much each time.
        amount: Option<Decimal> = decimal("amount"),
        /// When that was said.
        date: Option<Date> = day("date"),
    }
);

document!(
    /// What the holder says to own, in reais. What the institution does not tell is null.
    InformedPatrimony {
        /// How much.
        amount: Option<Decimal> = decimal("amount"),
        /// The year that it is of.
        year: Option<i32> = integer("year"),
        /// When that was said.
        date: Option<Date> = day("date"),
    }
);

document!(
    /// What a company does. What the institution does not tell is null.
    EconomicActivity {
        /// CNAE code.
        code: Option<&str> = text("code"),
        /// Whether it is what the company does most of all.
        is_main: Option<bool> = flag("isMain"),
    }
);

document!(
    /// What a company says to take in, in reais. What the institution does not tell is null.
    InformedRevenue {
        /// How much each time.
        amount: Option<Decimal> = decimal("amount"),
        /// How often: `DAILY`, `WEEKLY`, `BIWEEKLY`, `MONTHLY`, `BIMONTHLY`, `QUARTERLY`, `SEMIANNUAL`, `ANNUAL` or `OTHER`.
        frequency: Option<&str> = text("frequency"),
        /// More about that.
        frequency_additional_info: Option<&str> = text("frequencyAdditionalInfo"),
        /// The year that it is of.
        year: Option<i32> = integer("year"),
    }
);

document!(
    /// What else there is between the holder and the institution. What the institution does not tell is null or empty; words are the institution's.
    FinancialRelationships {
        /// Since when.
        start_date: Option<Date> = day("startDate"),
        /// Products and services that the holder has, such as `CONTA_DEPOSITO_A_VISTA` or `CARTAO_CREDITO`.
        products_services_type: Vec<&str> = texts("productsServicesType"),
        /// More about those.
        products_services_type_additional_info: Option<&str> = text("productsServicesTypeAdditionalInfo"),
        /// Who may act for the holder.
        procurators: Vec<Procurator<'_>> = list("procurators"),
        /// Accounts of the holder.
        accounts: Vec<RelatedAccount<'_>> = list("accounts"),
        /// Wages that are paid on from another bank.
        portabilities_received: Vec<PortabilityReceived<'_>> = list("portabilitiesReceived"),
        /// Wages that are paid in here.
        paychecks_bank_link: Vec<PaycheckBankLink<'_>> = list("paychecksBankLink"),
    }
);

document!(
    /// Who may act for the holder. What the institution does not tell is null.
    Procurator {
        /// `REPRESENTANTE_LEGAL` or `PROCURADOR`.
        #[graphql(name = "type")]
        kind: Option<&str> = text("type"),
        /// Tax number of a person (CPF).
        cpf_number: Option<&str> = text("cpfNumber"),
        /// Number of another document.
        document_number: Option<&str> = text("documentNumber"),
        /// Kind of that document.
        document_type: Option<&str> = text("documentType"),
        /// Name.
        civil_name: Option<&str> = text("civilName"),
        /// The name that the person goes by.
        social_name: Option<&str> = text("socialName"),
    }
);

document!(
    /// An account of the holder. What the institution does not tell is null.
    RelatedAccount {
        /// COMPE code of the bank.
        compe_code: Option<&str> = text("compeCode"),
        /// Branch.
        branch_code: Option<&str> = text("branchCode"),
        /// Number.
        number: Option<&str> = text("number"),
        /// Check digit of the number.
        check_digit: Option<&str> = text("checkDigit"),
        /// `CONTA_DEPOSITO_A_VISTA`, `CONTA_POUPANCA` or `CONTA_PAGAMENTO_PRE_PAGA`.
        #[graphql(name = "type")]
        kind: Option<&str> = text("type"),
        /// `INDIVIDUAL`, `CONJUNTA_SIMPLES` or `CONJUNTA_SOLIDARIA`.
        subtype: Option<&str> = text("subtype"),
    }
);

document!(
    /// A wage that is paid on from another bank. What the institution does not tell is null.
    PortabilityReceived {
        /// Name of the employer.
        employer_name: Option<&str> = text("employerName"),
        /// Tax number of the employer.
        employer_document: Option<&str> = text("employerDocument"),
        /// Tax number (CNPJ) of the bank that it is paid in at.
        paycheck_bank_detainer_cnpj: Option<&str> = text("paycheckBankDetainerCnpj"),
        /// ISPB code of the bank that it is paid in at.
        paycheck_bank_detainer_ispb: Option<&str> = text("paycheckBankDetainerIspb"),
        /// When that was approved.
        portability_approval_date: Option<Date> = day("portabilityApprovalDate"),
    }
);

document!(
    /// A wage that is paid in here. What the institution does not tell is null.
    PaycheckBankLink {
        /// Name of the employer.
        employer_name: Option<&str> = text("employerName"),
        /// Tax number of the employer.
        employer_document: Option<&str> = text("employerDocument"),
        /// Tax number (CNPJ) of the bank.
        paycheck_bank_cnpj: Option<&str> = text("paycheckBankCnpj"),
        /// ISPB code of the bank.
        paycheck_bank_ispb: Option<&str> = text("paycheckBankIspb"),
        /// When the account for it was opened.
        account_opening_date: Option<Date> = day("accountOpeningDate"),
    }
);
