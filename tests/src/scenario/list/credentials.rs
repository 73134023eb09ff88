//! Who may come in, over TLS and by password.

use super::super::End::{Done, Fails, NotTaken};
use super::super::Step::{
    Expect, LinkCount, Login, Lost, Net, NotReady, Open, Pass, Ready, Request, Submit,
};
use super::super::{Given, Network, Op, Place, Scenario, Shown, Trusted};

const SAMPLE: Op = Op::Sample("{}");
const NO_TLS: (Place, &str) = (Place::Plain, "it is about TLS");
const USER: Given = Given::User("gateway@0f1f3e2c", "right");

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a_password_opens_the_door",
        why: "the user name has an @ of its own, and is sent as it is",
        given: &[USER, Given::Login("gateway@0f1f3e2c", "right")],
        except: &[],
        steps: &[Ready, Request(SAMPLE, Done)],
    },
    Scenario {
        name: "a_wrong_password_is_told_at_once_and_can_be_mended",
        why: "what waits is sent then, and nothing has to be started anew",
        given: &[USER, Given::Login("gateway@0f1f3e2c", "wrong")],
        except: &[],
        steps: &[
            Submit("a", SAMPLE),
            NotReady("Refused(Refused(BadLogin))"),
            Open("a"),
            Login("gateway@0f1f3e2c", "right"),
            Ready,
            Expect("a", Done),
        ],
    },
    Scenario {
        name: "who_has_no_password_is_told_to_have_one",
        why: "the cause names what is missing",
        given: &[USER],
        except: &[],
        steps: &[NotReady("Refused(Refused(NotAuthorized))")],
    },
    Scenario {
        name: "a_refusal_is_tried_again_slowly",
        why: "a hot loop of wrong passwords gets an account locked",
        given: &[
            USER,
            Given::Login("gateway@0f1f3e2c", "wrong"),
            Given::SlowRetry(900),
        ],
        except: &[(Place::Real, "hours of simulated time pass")],
        steps: &[Pass(7_200), LinkCount("dials", 4, 20)],
    },
    Scenario {
        name: "a_client_may_give_up_over_a_refusal",
        why: "some programs would rather end than wait for a person",
        given: &[USER, Given::GivesUp],
        except: &[],
        steps: &[
            Submit("a", SAMPLE),
            NotReady("Refused(Refused(NotAuthorized))"),
            Expect("a", Fails("Closed")),
            Request(SAMPLE, NotTaken("Closed")),
        ],
    },
    Scenario {
        name: "an_unknown_authority_is_refused",
        why: "anybody can make an authority",
        given: &[Given::Broker, Given::Trusts(Trusted::Other)],
        except: &[NO_TLS],
        steps: &[
            Submit("a", SAMPLE),
            NotReady("Refused(Tls(UnknownAuthority"),
            Open("a"),
        ],
    },
    Scenario {
        name: "a_self_signed_certificate_is_refused_by_that_name",
        why: "a person understands that one",
        given: &[Given::Broker, Given::Shows(Shown::SelfSigned)],
        except: &[NO_TLS],
        steps: &[NotReady("Refused(Tls(SelfSigned")],
    },
    Scenario {
        name: "an_expired_certificate_is_refused",
        why: "with the local time, because the clock may be the one that is wrong",
        given: &[Given::Broker, Given::Shows(Shown::Expired)],
        except: &[NO_TLS],
        steps: &[NotReady("Refused(Tls(Expired(Some(CertificateTime")],
    },
    Scenario {
        name: "a_certificate_that_is_not_valid_yet_is_tried_again",
        why: "gateways without a battery boot in 1970, and learn the time later",
        given: &[Given::Broker, Given::Shows(Shown::NotYetValid)],
        except: &[NO_TLS],
        steps: &[
            Lost(&["Tls(NotYetValid(Some(CertificateTime"]),
            Lost(&["Tls(NotYetValid(Some(CertificateTime"]),
        ],
    },
    Scenario {
        name: "a_certificate_of_another_host_is_refused",
        why: "it proves somebody else",
        given: &[Given::Broker, Given::Shows(Shown::WrongHost)],
        except: &[NO_TLS],
        steps: &[NotReady("Refused(Tls(WrongName")],
    },
    Scenario {
        name: "refused_certificates_are_tried_again_slowly",
        why: "no hot loop, and no end either: somebody may mend it",
        given: &[Given::Shows(Shown::Expired), Given::SlowRetry(900)],
        except: &[NO_TLS, (Place::Real, "hours of simulated time pass")],
        steps: &[Pass(7_200), LinkCount("dials", 4, 20)],
    },
    Scenario {
        name: "a_client_certificate_opens_the_door",
        why: "devices are known by theirs",
        given: &[
            Given::Broker,
            Given::WantsCertificate,
            Given::HasCertificate(Trusted::Ours),
        ],
        except: &[NO_TLS],
        steps: &[Ready, Request(SAMPLE, Done)],
    },
    Scenario {
        name: "a_client_certificate_opens_the_door_over_tls_1_2",
        why: "old brokers speak nothing newer",
        given: &[
            Given::Broker,
            Given::Tls12,
            Given::WantsCertificate,
            Given::HasCertificate(Trusted::Ours),
        ],
        except: &[NO_TLS],
        steps: &[Ready, Request(SAMPLE, Done)],
    },
    Scenario {
        name: "a_missing_client_certificate_is_told_over_tls_1_2",
        why: "that version has no alert of its own for it",
        given: &[Given::Broker, Given::Tls12, Given::WantsCertificate],
        except: &[NO_TLS],
        steps: &[NotReady("Refused(Tls(ClientCertificateMissing")],
    },
    Scenario {
        name: "a_missing_client_certificate_is_told",
        why: "the server only hangs up, and nobody would know why",
        given: &[Given::Broker, Given::WantsCertificate],
        except: &[NO_TLS],
        steps: &[NotReady("Refused(Tls(ClientCertificateMissing")],
    },
    Scenario {
        name: "a_client_certificate_of_another_authority_is_told",
        why: "it is not the server's that is wrong",
        given: &[
            Given::Broker,
            Given::WantsCertificate,
            Given::HasCertificate(Trusted::Other),
        ],
        except: &[NO_TLS],
        steps: &[NotReady("Refused(Tls(ClientCertificateRefused")],
    },
    Scenario {
        name: "a_server_without_tls_at_the_port_is_told",
        why: "the commonest mistake in a URL",
        given: &[Given::ServerTls(false), Given::Complaints],
        except: &[NO_TLS],
        steps: &[Lost(&["Tls(NotTls", "Tls(Cut"])],
    },
    Scenario {
        name: "a_server_with_tls_at_the_port_is_told",
        why: "the same mistake the other way round",
        given: &[Given::ServerTls(true)],
        except: &[(Place::Tls, "it is about a client without TLS")],
        steps: &[NotReady("Refused(TlsWanted")],
    },
    Scenario {
        name: "a_broker_without_tls_at_the_port_is_told",
        why: "brokers hang up on what they do not understand, without a word",
        given: &[Given::Broker, Given::ServerTls(false), Given::Complaints],
        except: &[NO_TLS],
        steps: &[Lost(&["Tls(NotTls", "Tls(Cut"])],
    },
    Scenario {
        name: "a_broker_with_tls_at_the_port_is_told",
        why: "OpenSSL resets the connection, without a word",
        given: &[Given::Broker, Given::ServerTls(true)],
        except: &[(Place::Tls, "it is about a client without TLS")],
        steps: &[Lost(&["Unwelcome", "TlsWanted"])],
    },
    Scenario {
        name: "a_broker_takes_the_right_password_only",
        why: "a broker does not say which part of the login is wrong",
        given: &[
            Given::Broker,
            USER,
            Given::Login("gateway@0f1f3e2c", "wrong"),
        ],
        except: &[],
        steps: &[
            Submit("a", SAMPLE),
            NotReady("Refused(Refused("),
            Open("a"),
            Login("gateway@0f1f3e2c", "right"),
            Ready,
            Expect("a", Done),
        ],
    },
    Scenario {
        name: "silence_in_the_middle_of_the_handshake_is_found",
        why: "it is no link yet, so no keep alive looks after it",
        given: &[Given::Away, Given::DialWithin(1)],
        except: &[NO_TLS],
        steps: &[
            Submit("a", SAMPLE),
            Net(Network::MuteAfter(100)),
            Net(Network::Back),
            Lost(&["DialTimeout"]),
            Open("a"),
            Net(Network::Heal),
            Expect("a", Done),
        ],
    },
    Scenario {
        name: "who_speaks_no_mqtt_is_told",
        why: "a port may be somebody else's",
        given: &[Given::Impostor],
        except: &[(Place::Tls, "over TLS it is no TLS in the first place")],
        steps: &[Submit("a", SAMPLE), Lost(&["Violation"]), Open("a")],
    },
    Scenario {
        name: "who_speaks_no_tls_is_told",
        why: "it is the URL that has to be mended",
        given: &[Given::Impostor],
        except: &[NO_TLS],
        steps: &[NotReady("Refused(Tls(NotTls")],
    },
];
