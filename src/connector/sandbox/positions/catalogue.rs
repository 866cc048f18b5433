//! What can be invested in at the made-up bank.

/// Something to invest in.
#[derive(Clone, Copy)]
pub(super) struct Paper {
    /// Family.
    pub(super) kind: &'static str,
    /// Kind.
    pub(super) subtype: &'static str,
    /// What it is called.
    pub(super) name: &'static str,
    /// Who owes or manages it.
    pub(super) issuer: &'static str,
    /// Ticker or other code, where it is not the issuer's tax number.
    pub(super) ticker: Option<&'static str>,
    /// Index, hundredths of a percent of it, and of a fixed part beside it.
    pub(super) index: Option<(&'static str, i64, i64)>,
    /// Hundredths of a percent that its price gains a year.
    pub(super) gain: i64,
    /// Whether everybody holds it.
    pub(super) common: bool,
}

const fn paper(
    kind: &'static str,
    subtype: &'static str,
    name: &'static str,
    issuer: &'static str,
) -> Paper {
    Paper {
        kind,
        subtype,
        name,
        issuer,
        ticker: None,
        index: None,
        gain: 1_050,
        common: false,
    }
}

const fn fund(subtype: &'static str, name: &'static str, gain: i64) -> Paper {
    Paper {
        gain,
        ..paper("MUTUAL_FUND", subtype, name, "Ponte Asset Management")
    }
}

const fn share(
    subtype: &'static str,
    name: &'static str,
    issuer: &'static str,
    ticker: &'static str,
    gain: i64,
) -> Paper {
    Paper {
        ticker: Some(ticker),
        gain,
        ..paper("EQUITY", subtype, name, issuer)
    }
}

const fn bond(
    subtype: &'static str,
    name: &'static str,
    issuer: &'static str,
    index: (&'static str, i64, i64),
) -> Paper {
    Paper {
        index: Some(index),
        ..paper("FIXED_INCOME", subtype, name, issuer)
    }
}

const fn common(paper: Paper) -> Paper {
    Paper {
        common: true,
        ..paper
    }
}

/// All of it, one of every kind.
pub(super) const CATALOGUE: [Paper; 29] = [
    common(fund("MULTIMARKET_FUND", "Ponte Macro FIC FIM", 1_240)),
    fund("INVESTMENT_FUND", "Ponte Cash FI", 980),
    fund("FIXED_INCOME_FUND", "Ponte Renda Fixa Simples FI", 1_020),
    fund("STOCK_FUND", "Ponte Ações FIA", 1_420),
    fund("ETF_FUND", "Ponte Índices FIC", 1_180),
    fund("OFFSHORE_FUND", "Ponte Global IE FIM", 890),
    fund("FIP_FUND", "Ponte Participações FIP", 1_650),
    fund("EXCHANGE_FUND", "Ponte Cambial FI", 310),
    fund("FI_INFRA", "Ponte Infra FIC FI-Infra", 1_110),
    fund("FI_AGRO", "Ponte Agro FIAGRO", 1_190),
    common(share(
        "STOCK",
        "Ponte Energia ON",
        "Ponte Energia S.A.",
        "PNTE3",
        870,
    )),
    share(
        "BDR",
        "Bridge Works BDR",
        "Bridge Works Inc.",
        "BRWK34",
        1_310,
    ),
    share(
        "REAL_ESTATE_FUND",
        "Ponte Lajes FII",
        "Ponte Lajes FII",
        "PNLJ11",
        760,
    ),
    share(
        "DERIVATIVES",
        "Futuro de Índice",
        "Bolsa do Brasil",
        "WINJ26",
        240,
    ),
    share(
        "OPTION",
        "Opção de compra PNTE3",
        "Bolsa do Brasil",
        "PNTED300",
        130,
    ),
    common(bond(
        "TREASURY",
        "Tesouro IPCA+ 2035",
        "Tesouro Nacional",
        ("IPCA", 10_000, 615),
    )),
    common(bond(
        "CDB",
        "CDB Ponte Bank",
        "Ponte Bank S.A.",
        ("CDI", 11_000, 0),
    )),
    bond(
        "LCI",
        "LCI Ponte Bank",
        "Ponte Bank S.A.",
        ("CDI", 9_400, 0),
    ),
    bond(
        "LCA",
        "LCA Ponte Bank",
        "Ponte Bank S.A.",
        ("CDI", 9_300, 0),
    ),
    bond(
        "LC",
        "LC Ponte Financeira",
        "Ponte Financeira S.A.",
        ("PRE", 10_000, 1_185),
    ),
    bond(
        "LF",
        "LF Ponte Bank",
        "Ponte Bank S.A.",
        ("SELIC", 10_000, 120),
    ),
    common(bond(
        "CRI",
        "CRI Shopping Ponte",
        "Ponte Securitizadora S.A.",
        ("IPCA", 10_000, 730),
    )),
    bond(
        "CRA",
        "CRA Usina Ponte",
        "Ponte Securitizadora S.A.",
        ("CDI", 10_000, 190),
    ),
    bond(
        "DEBENTURES",
        "Debênture Ponte Energia",
        "Ponte Energia S.A.",
        ("IPCA", 10_000, 645),
    ),
    bond(
        "CORPORATE_DEBT",
        "Nota comercial Ponte",
        "Ponte Tecnologia S.A.",
        ("CDI", 10_000, 310),
    ),
    common(Paper {
        ticker: Some("PNIB11"),
        gain: 1_090,
        ..paper(
            "ETF",
            "ETF",
            "Ponte Ibovespa Fundo de Índice",
            "Ponte Asset Management",
        )
    }),
    common(Paper {
        gain: 940,
        ..paper(
            "COE",
            "STRUCTURED_NOTE",
            "COE Bolsa Americana Capital Protegido",
            "Ponte Bank S.A.",
        )
    }),
    common(Paper {
        gain: 1_010,
        ..paper(
            "SECURITY",
            "RETIREMENT",
            "Ponte Previdência VGBL",
            "Ponte Seguros S.A.",
        )
    }),
    common(Paper {
        gain: 400,
        ..paper(
            "OTHER",
            "OTHER",
            "Cota de consórcio contemplada",
            "Ponte Consórcios Ltda",
        )
    }),
];
