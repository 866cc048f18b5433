//! What a holder does, earns and owns, and what else there is between the holder and the institution.

use super::super::{
    super::scalar::{Date, Decimal},
    document::{document, words},
};

document!(
    /// What the holder does, earns and owns. What the institution does not tell is null or empty.
    Qualifications {
        /// Tax number (CNPJ) of the institution that says so.
        company_cnpj: Option<&str> = text("companyCnpj"),
        /// By which list the occupation is named.
        occupation_code: Option<OccupationCode> = word("occupationCode"),
        /// `occupationCode` in the institution's word.
        occupation_code_raw: Option<&str> = text("occupationCode"),
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

words!(
    /// By which list an occupation is named.
    OccupationCode {
        /// The tax authority's.
        ReceitaFederal,
        /// The classification of occupations of Brazil (CBO).
        Cbo,
        /// None: `occupationDescription` is a text.
        Other = "OUTRO",
    }
);

words!(
    /// How often a holder earns, or takes in, what the institution was told.
    InformedFrequency {
        /// Every day.
        Daily = "DIARIA",
        /// Every week.
        Weekly = "SEMANAL",
        /// Every two weeks.
        Biweekly = "QUINZENAL",
        /// Every month.
        Monthly = "MENSAL",
        /// Every two months.
        Bimonthly = "BIMESTRAL",
        /// Every three months.
        Quarterly = "TRIMESTRAL",
        /// Every six months.
        Semiannual = "SEMESTRAL",
        /// Every year.
        Annual = "ANUAL",
        /// At other times.
        Other = "OUTROS",
    }
);

document!(
    /// What a person says to earn, in reais. What the institution does not tell is null.
    InformedIncome {
        /// How often.
        frequency: Option<InformedFrequency> = word("frequency"),
        /// `frequency` in the institution's word.
        frequency_raw: Option<&str> = text("frequency"),
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
        /// How often.
        frequency: Option<InformedFrequency> = word("frequency"),
        /// `frequency` in the institution's word.
        frequency_raw: Option<&str> = text("frequency"),
        /// More about that.
        frequency_additional_info: Option<&str> = text("frequencyAdditionalInfo"),
        /// The year that it is of.
        year: Option<i32> = integer("year"),
    }
);

document!(
    /// What else there is between the holder and the institution. What the institution does not tell is null or empty.
    FinancialRelationships {
        /// Since when.
        start_date: Option<Date> = day("startDate"),
        /// Products and services that the holder has, in the institution's words, such as `CONTA_DEPOSITO_A_VISTA` or `CARTAO_CREDITO`.
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
        /// By what right.
        #[graphql(name = "type")]
        kind: Option<ProcuratorType> = word("type"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// Tax number of a person (CPF).
        cpf_number: Option<&str> = text("cpfNumber"),
        /// Number of another document.
        document_number: Option<&str> = text("documentNumber"),
        /// Kind of that document, in the institution's words, such as `RG`.
        document_type: Option<&str> = text("documentType"),
        /// Name.
        civil_name: Option<&str> = text("civilName"),
        /// The name that the person goes by.
        social_name: Option<&str> = text("socialName"),
    }
);

words!(
    /// By what right somebody acts for a holder.
    ProcuratorType {
        /// By law.
        LegalRepresentative = "REPRESENTANTE_LEGAL",
        /// By power of attorney.
        Procurator = "PROCURADOR",
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
        /// Kind of account.
        #[graphql(name = "type")]
        kind: Option<RelatedAccountType> = word("type"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// Who may dispose of it.
        subtype: Option<RelatedAccountSubtype> = word("subtype"),
        /// `subtype` in the institution's word.
        subtype_raw: Option<&str> = text("subtype"),
    }
);

words!(
    /// Kind of an account that a holder has at an institution.
    RelatedAccountType {
        /// A current account.
        DemandDeposit = "CONTA_DEPOSITO_A_VISTA",
        /// A savings account.
        Savings = "CONTA_POUPANCA",
        /// An account for payments that is filled beforehand.
        PrepaidPayment = "CONTA_PAGAMENTO_PRE_PAGA",
    }
);

words!(
    /// Who may dispose of an account.
    RelatedAccountSubtype {
        /// One holder.
        Individual,
        /// Several holders, only together.
        JointSimple = "CONJUNTA_SIMPLES",
        /// Several holders, each alone.
        JointSolidary = "CONJUNTA_SOLIDARIA",
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
