//! The files under `deploy/`, held against the program: no engine runs them in these tests, so what can be checked of
//! them is.
//!
//! It stands here and not among the house rules since the program itself says what a setting is, what a value may be and
//! which pages there are.

mod files;

mod settings;

mod images;

mod confinement;

mod ports;

mod stopping;

mod references;

use self::files::{Files, Findings};

type Check = fn(&Files, &mut Findings);

/// Every rule, with slips that it must find.
const CHECKS: &[(Check, &[Slip])] = &[
    (settings::check, SLIPS_OF_SETTINGS),
    (images::check, SLIPS_OF_IMAGES),
    (confinement::check, SLIPS_OF_CONFINEMENT),
    (ports::check, SLIPS_OF_PORTS),
    (stopping::check, SLIPS_OF_STOPPING),
    (references::check, SLIPS_OF_REFERENCES),
];

/// What is wrong with the files, by these rules.
fn findings(files: &Files, checks: &[Check]) -> Vec<String> {
    let mut findings = Findings::default();
    files.check_yaml(&mut findings);
    // The rest could not be read.
    if findings.0.is_empty() {
        for check in checks {
            check(files, &mut findings);
        }
    }
    findings.0
}

#[test]
fn what_is_deployed_fits_the_program() {
    let checks: Vec<Check> = CHECKS.iter().map(|(check, _)| *check).collect();
    let found = findings(&Files::read(), &checks);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

const DOCKERFILE: &str = "docker/Dockerfile";
const COMPOSE: &str = "compose/compose.yaml";
const PROXY: &str = "compose/haproxy.cfg";
const UNIT: &str = "systemd/tuma.service";
const DEPLOYMENT: &str = "kubernetes/base/gateway/deployment.yaml";
const POLICY: &str = "kubernetes/base/around/networkpolicy.yaml";
const EXAMPLE: &str = "kubernetes/overlays/example/kustomization.yaml";

/// A file, what stands in it, a slip that stands there instead, and what is said of it.
type Slip = (&'static str, &'static str, &'static str, &'static str);

const SLIPS_OF_SETTINGS: &[Slip] = &[
    (DOCKERFILE, "TUMA_LOG__FORMAT", "TUMA_LOG_FORMAT", "TUMA_LOG_FORMAT is no setting"),
    (DOCKERFILE, "FORMAT=json", "FORMAT=jsonl", "docker/Dockerfile: setting log.format"),
    ("compose/.env.example", "SMS_AT_FROM", "SMS_AT_FORM", "SMS_AT_FORM is no setting"),
    (
        "compose/.env.example",
        "TUMA_PUBLIC_URL=",
        "TUMA_PUBLIC_URL=sms.example.co.ke",
        "compose/.env.example: ",
    ),
    ("compose/.env.simulator", "atsk_simulated", "atsk_other", "refuse these credentials"),
    ("compose/.env.simulator", "simulator:8090", "simulator:8091", "listen elsewhere"),
    ("compose/.env.simulator", "PROFILES=simulator", "PROFILES=sim", "are not started"),
    (COMPOSE, "TUMA_LOG__FORMAT: json", "TUMA_LOG__FORMATS: json", "TUMA_LOG__FORMATS is no setting"),
    ("systemd/tuma.env.example", "TUMA_DATABASE_URL", "TUMA_DATABASE__URL", "systemd/tuma.env.example: "),
    ("systemd/tuma.env.example", ",chores", ",chore", "chore is no role"),
    (
        "kubernetes/overlays/by-role/chores/kustomization.yaml",
        "value: chores",
        "value: api",
        "has the role chores",
    ),
    (
        "kubernetes/base/around/kustomization.yaml",
        "FORMAT=json",
        "FORMAT=yaml",
        "overlays/example: setting log",
    ),
];

const SLIPS_OF_IMAGES: &[Slip] = &[
    (DOCKERFILE, "rust:1.95.0-slim-bookworm@sha256:d7", "rust:1.95.0-slim-bookworm@sha256:", "is not pinned"),
    (DOCKERFILE, "TOOLCHAIN=1.95.0", "TOOLCHAIN=1.94.0", "has not the toolchain 1.94.0"),
    (DOCKERFILE, "COPY --from=build /out/", "COPY --from=builder /out/", "builder is no stage before"),
    ("compose/nats.Dockerfile", "nats:2.12.2-alpine@", "nats@", "is not pinned"),
    (COMPOSE, "haproxy:3.2.25-alpine", "haproxy:latest", "proxy: haproxy:latest@"),
    (COMPOSE, "image: tuma:0.1.0", "image: tuma:latest", "tuma:latest is not pinned"),
    (DEPLOYMENT, "image: tuma:0.1.0", "image: tuma:0.0.9", "is not tuma:"),
    (EXAMPLE, "newTag: 0.1.0", "newTag: 0.0.9", "is not 0."),
];

const SLIPS_OF_CONFINEMENT: &[Slip] = &[
    (DOCKERFILE, "USER 65532:65532", "USER root", "tuma runs as root"),
    ("compose/nats.Dockerfile", "USER 65532:65532", "USER 0:0", "runs as root"),
    (COMPOSE, "user: \"999:999\"", "user: postgres", "postgres: runs as root"),
    (COMPOSE, "read_only: true", "read_only: false", "node-1: may write its root file system"),
    (COMPOSE, "cap_drop: [ALL]", "cap_drop: [NET_RAW]", "node-1: keeps capabilities"),
    (COMPOSE, "no-new-privileges:true", "no-new-privileges:false", "may gain privileges"),
    (COMPOSE, "restart: unless-stopped", "restart: \"no\"", "is not started again"),
    (COMPOSE, "memory: 1G, ", "", "postgres: has no limits"),
    (
        COMPOSE,
        "postgres: {condition: service_healthy}",
        "postgres: {condition: service_started}",
        "does not wait",
    ),
    (COMPOSE, "PUBLISH:-127.0.0.1:", "PUBLISH:-0.0.0.0:", "is published to other machines"),
    (COMPOSE, "internal: true", "internal: false", "the back has a way out"),
    (DEPLOYMENT, "runAsNonRoot: true", "runAsNonRoot: false", "may run as root"),
    (DEPLOYMENT, "runAsUser: 65532", "runAsUser: 0", "runs as root"),
    (DEPLOYMENT, "RuntimeDefault", "Unconfined", "may call all of the kernel"),
    (DEPLOYMENT, "enableServiceLinks: false", "enableServiceLinks: true", "variables of services"),
    (DEPLOYMENT, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "migrate: may write"),
    (DEPLOYMENT, "{drop: [ALL]}", "{drop: [ALL], add: [NET_ADMIN]}", "keeps capabilities"),
    (DEPLOYMENT, "limits: {memory: 512Mi}", "limits: {cpu: 1}", "tuma: has no limits"),
    (POLICY, "      from:", "      not_from:", "lets everybody in"),
    (POLICY, "[Ingress, Egress]", "[Ingress]", "who may speak to whom"),
    (UNIT, "NoNewPrivileges=yes", "NoNewPrivileges=no", "not NoNewPrivileges=yes"),
    (UNIT, "User=tuma", "User=root", "the user is root"),
];

const SLIPS_OF_PORTS: &[Slip] = &[
    (DOCKERFILE, "OPERATIONS_LISTEN=0.0.0.0:9090", "OPERATIONS_LISTEN=0.0.0.0:9091", "the ports differ"),
    (DOCKERFILE, "TUMA_OPERATIONS_LISTEN=0.0.0.0:9090 \\\n", "X=1 \\\n", "no port of their own"),
    (DOCKERFILE, "http://127.0.0.1:9090", "http://127.0.0.1:8080", "asks another port whether it is well"),
    (DOCKERFILE, "EXPOSE 8080 9090", "EXPOSE 80 9090", "exposes other ports"),
    (COMPOSE, "http://127.0.0.1:9090", "http://127.0.0.1:9091", "node-1 is asked at another port"),
    (COMPOSE, "127.0.0.1:8080}:8080", "127.0.0.1:8080}:80", "HAProxy does not listen"),
    (PROXY, "node-2:8080", "node-2:8081", "nothing goes to node-2"),
    (PROXY, "check port 9090", "check port 8080", "asks another port whether a node is ready"),
    (PROXY, "GET /health/ready", "GET /healthz", "there is no page /healthz"),
    ("systemd/tuma.env.example", "TUMA_LISTEN=127.0.0.1", "TUMA_LISTEN=0.0.0.0", "or everybody does"),
    (DEPLOYMENT, "containerPort: 9090", "containerPort: 9091", "names other ports"),
    (
        DEPLOYMENT,
        "{path: /health/ready, port: operations}",
        "{path: /health/ready, port: http}",
        "readinessProbe: wrong",
    ),
    (DEPLOYMENT, "path: /health/live", "path: /live", "there is no page /live"),
    (
        DEPLOYMENT,
        "prometheus.io/path: /metrics",
        "prometheus.io/path: /prometheus",
        "there is no page /prometheus",
    ),
    (
        DEPLOYMENT,
        "prometheus.io/port: \"9090\"",
        "prometheus.io/port: \"8080\"",
        "Prometheus is sent to another port",
    ),
    (POLICY, "port: 9090", "port: 9091", "other ports than those"),
    ("kubernetes/base/around/service.yaml", "targetPort: http", "targetPort: web", "is no port of a pod"),
    ("kubernetes/overlays/example/ingress.yaml", "/webhooks", "/hooks", "/hooks leads nowhere"),
];

const SLIPS_OF_STOPPING: &[Slip] = &[
    (UNIT, "TimeoutStopSec=45", "TimeoutStopSec=20", "tuma.service: Some(20) seconds to stop"),
    (UNIT, "KillSignal=SIGTERM", "KillSignal=SIGINT", "not stopped by SIGTERM"),
    (COMPOSE, "stop_grace_period: 45s", "stop_grace_period: 10s", "node-3: Some(10) seconds to stop"),
    (
        DEPLOYMENT,
        "GracePeriodSeconds: 50",
        "GracePeriodSeconds: 30",
        "deployment.yaml: Some(25) seconds to stop",
    ),
    (DOCKERFILE, "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGQUIT", "not stopped by SIGTERM"),
];

const SLIPS_OF_REFERENCES: &[Slip] = &[
    (COMPOSE, "services:\n", "services: [\n", "compose/compose.yaml is not YAML"),
    (
        COMPOSE,
        "restart: unless-stopped\n",
        "restart: always\n  restart: always\n",
        "compose/compose.yaml is not YAML",
    ),
    (EXAMPLE, "../../base", "../base", "there is no ../base"),
    (EXAMPLE, "  - ingress.yaml\n", "", "ingress.yaml: its kustomization.yaml does not list it"),
    (DEPLOYMENT, "serviceAccountName: tuma", "serviceAccountName: sms", "no such account"),
    (DEPLOYMENT, "configMapRef: {name: tuma}", "configMapRef: {name: sms}", "wrong configMapRef"),
    (DEPLOYMENT, "secretRef: {name: tuma}", "secretRef: {name: sms}", "wrong secretRef"),
    ("kubernetes/base/around/service.yaml", "name: tuma}", "name: sms}", "no pod has"),
    ("kubernetes/base/around/poddisruptionbudget.yaml", "name: tuma}", "name: sms}", "no pod has"),
    ("kubernetes/overlays/by-role/callbacks.yaml", "component: callbacks", "component: hooks", "no pod has"),
    (
        "kubernetes/overlays/by-role/autoscaler.yaml",
        "kind: Deployment, name: tuma-api",
        "kind: Deployment, name: api",
        "nothing of that name",
    ),
];

/// A check that can't fail checks nothing.
#[test]
fn each_slip_is_found() {
    let files = Files::read();
    let mut unseen = Vec::new();
    for (check, slips) in CHECKS {
        for (path, from, to, said) in *slips {
            let found = findings(&files.with(path, from, to), &[*check]);
            if !found.iter().any(|finding| finding.contains(said)) {
                unseen.push(format!("{path}: {to}: not said: {said}; but: {found:?}"));
            }
        }
    }
    assert!(unseen.is_empty(), "\n{}", unseen.join("\n"));
}
