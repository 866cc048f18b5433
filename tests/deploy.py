"""Whether deploy/ is right, without Docker and without a cluster. Run by tests/run.

The Dockerfile is parsed and its steps are done by hand: every COPY takes from a fresh copy of the tracked files, every RUN
runs in the stage's folder, and the final image is assembled beside the libraries that its base has. In that image, mounted
read-only and as its user, the binary prints its help and its schema and serves for a while. The Kubernetes manifests are
held against the schemas of Kubernetes, the compose file against those of Compose, and both against what `ponte --help`
knows.

Usage: tests/deploy.py [PROFILE]; dev unless told, so that what a debug build has compiled is not compiled again.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import compose_spec
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
# The oldest Kubernetes whose API has all that the manifests use, and the newest that the schemas know.
KUBERNETES = ["1.31", "1.37"]
# What the binary may need of distroless/cc, and where that has it.
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libdl.so.2", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
# What nodes are given that is not Ponte's: clients of PostgreSQL read the password from this file.
FOREIGN = {"PGPASSFILE"}
# What a container runtime puts into every container, and the binary may open.
DEVICES = ["null", "urandom"]
PRIVILEGED = os.geteuid() == 0

checks = 0


def check(condition, words):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"tests/deploy.py: {words}")


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


# The Dockerfile


def instructions(text):
    """The instructions of a Dockerfile, each with its flags and its words."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    for line in joined.splitlines():
        if not line.strip():
            continue
        name, rest = line.strip().split(None, 1)
        flags = {}
        while rest.startswith("--"):
            flag, rest = rest.split(None, 1)
            key, _, value = flag[2:].partition("=")
            flags.setdefault(key, []).append(value)
        yield name.upper(), flags, rest


class Stage:
    """A stage of a build: its folder stands for its root."""

    def __init__(self, root, base, arguments):
        self.root, self.base, self.arguments = root, base, dict(arguments)
        self.workdir, self.environment = "/", {}
        self.user, self.entrypoint, self.volumes, self.ports = "0", None, [], []
        root.mkdir()

    def inside(self, path):
        return self.root / os.path.normpath(os.path.join(self.workdir, path)).lstrip("/")


def expand(text, values):
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], ""), text)


def replay(dockerfile, context, folder, given):
    """Does the steps of a Dockerfile and answers its last stage."""
    stages, stage, arguments = {}, None, {}
    for name, flags, rest in instructions(dockerfile.read_text()):
        if name == "FROM":
            words = shlex.split(rest)
            base = expand(words[0], arguments)
            label = words[2] if len(words) == 3 else str(len(stages))
            stage = stages[label] = Stage(folder / label, base, {})
        elif name == "ARG":
            key, _, default = rest.partition("=")
            (stage.arguments if stage else arguments)[key] = given.get(key, default)
        elif name == "WORKDIR":
            stage.workdir = rest
            stage.inside(".").mkdir(parents=True)
        elif name == "ENV":
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                stage.environment[key] = value
        elif name == "COPY":
            *sources, target = shlex.split(rest)
            source = stages[flags["from"][0]] if "from" in flags else None
            for path in sources:
                origin = source.inside(path) if source else context / path
                destination = stage.inside(target)
                check(origin.exists(), f"COPY {path}: there is no such file")
                if origin.is_dir():
                    shutil.copytree(origin, destination, dirs_exist_ok=True)
                else:
                    if target.endswith("/"):
                        destination = destination / origin.name
                    destination.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(origin, destination)
                if "chown" in flags and PRIVILEGED:
                    user, group = flags["chown"][0].split(":")
                    shutil.chown(destination, int(user), int(group))
        elif name == "RUN":
            print(f"RUN {rest}", flush=True)
            environment = {**os.environ, **stage.environment, **stage.arguments}
            # What is mounted as a cache is the caller's: here, what was compiled before.
            environment["CARGO_TARGET_DIR"] = os.environ["CARGO_TARGET_DIR"]
            run("sh", "-ec", rest, cwd=stage.inside("."), env=environment)
        elif name == "USER":
            stage.user = rest
        elif name == "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        elif name == "VOLUME":
            stage.volumes.append(rest)
        elif name == "EXPOSE":
            stage.ports.append(int(rest))
        elif name != "STOPSIGNAL":
            sys.exit(f"tests/deploy.py: {name} is not known here")
    return stage


def fresh_copy(folder):
    """The files that Git tracks or would track, as they are now."""
    listed = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", stdout=subprocess.PIPE)
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def ignored(context):
    """Removes what the ignore file keeps out of the build: everything, but for the exceptions."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    check(lines[0] == "**", "Dockerfile.dockerignore begins with **")
    kept = [line[1:] for line in lines if line.startswith("!")]
    for path in sorted(context.rglob("*"), reverse=True):
        name = str(path.relative_to(context))
        if path.is_file() and not any(name == keep or name.startswith(keep + "/") for keep in kept):
            path.unlink()


def add_base(image, binary):
    """Puts what the binary needs of its base beside it: nothing that distroless/cc has not."""
    needed = run("ldd", binary, stdout=subprocess.PIPE).stdout
    for line in needed.splitlines():
        paths = re.findall(r"(/\S+)", line)
        name = line.split()[0].rsplit("/", 1)[-1]
        if name.startswith("linux-vdso"):
            continue
        check(name in LIBRARIES, f"the binary needs {name}, which the base has not")
        target = image.root / paths[-1].lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(os.path.realpath(paths[-1]), target)
    # Made by every container runtime.
    for folder in ["dev", "proc", "etc", "tmp"]:
        (image.root / folder).mkdir(exist_ok=True)
    for device in DEVICES:
        (image.root / "dev" / device).touch()


def inside(image, data, environment, *arguments):
    """A command line that runs the image's entry point in its root, of which only the data folder is writable: as its user,
    or, where we are not root ourselves, as ours."""
    root = shlex.quote(str(image.root))
    given = shlex.join(f"{key}={value}" for key, value in environment.items())
    user = f"--userspec={image.user} --groups=" if PRIVILEGED else ""
    steps = [
        f"mount --bind {root} {root}",
        f"mount --bind {shlex.quote(str(data))} {root}{image.volumes[0]}",
        *(f"mount --bind /dev/{device} {root}/dev/{device}" for device in DEVICES),
        f"mount -o remount,bind,ro {root}",
        f"exec env -i {given} setpriv --no-new-privs {shutil.which('chroot')} {user} {root} {shlex.join([*image.entrypoint, *arguments])}",
    ]
    return ["unshare", *([] if PRIVILEGED else ["--user", "--map-root-user"]), "--mount", "sh", "-ec", "\n".join(steps)]


def image_works(image):
    """Runs the image: help, schema, a server that makes its data and stops when it is told to."""
    binary = image.inside(image.entrypoint[0])
    check(image.user == "65532:65532", f"the image runs as {image.user}")
    check(not list(image.root.rglob("sh")), "the image has a shell")
    add_base(image, binary)
    data = image.root.parent / "data"
    shutil.copytree(image.inside(image.volumes[0]), data)
    user = int(image.user.split(":")[0])
    if PRIVILEGED:
        check(image.inside(image.volumes[0]).stat().st_uid == user, "the data folder is not the user's")
        os.chown(data, user, user)

    help_text = run(*inside(image, data, {}, "--help"), stdout=subprocess.PIPE).stdout
    schema = run(*inside(image, data, {}, "schema"), stdout=subprocess.PIPE).stdout
    check(schema.strip() == (ROOT / "schema.graphql").read_text().strip(), "schema prints another schema")
    check(not list(data.iterdir()), "--help and schema leave files")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**image.environment, "PONTE_LISTEN": f"0.0.0.0:{port}"}

    def asked(*arguments):
        return subprocess.run(inside(image, data, environment, *arguments), capture_output=True, text=True)

    log = (image.root.parent / "log").open("w+")
    server = subprocess.Popen(inside(image, data, environment), stdout=subprocess.DEVNULL, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while (answer := asked("ready")).returncode != 0 and server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        log.seek(0)
        check(answer.returncode == 0, f"the server is not ready: {answer.stderr}{log.read()}")
        if PRIVILEGED:
            status = Path(f"/proc/{server.pid}/status").read_text()
            check(f"Uid:\t{user}\t{user}\t{user}\t{user}\n" in status, "the server runs as somebody else")
            check("NoNewPrivs:\t1\n" in status and "CapEff:\t0000000000000000\n" in status, "the server may do more than it must")
        check({path.name for path in data.iterdir()} >= {"ponte.db", "master.key"}, "the server made no data")
        report = json.loads(asked("doctor", "--json").stdout)
        check(report["failed"] == 0, f"the doctor finds: {report}")
        backup = asked("backup", f"{image.volumes[0]}/copy.db")
        check(backup.returncode == 0 and (data / "copy.db").exists(), f"no backup: {backup.stderr}")
        outside = asked("backup", "/copy.db")
        check(outside.returncode == 1 and "Read-only file system" in outside.stderr, f"the root can be written to: {outside.stderr}")
    finally:
        server.send_signal(signal.SIGTERM)
        stopped = server.wait(timeout=30)
    check(stopped == 0, f"the server ends with {stopped}")
    return help_text


# What is given to nodes


def known_variables(help_text):
    known = set(re.findall(r"\[env: (PONTE_\w+)", help_text))
    check(len(known) > 20, "--help names few variables")
    return known


def check_variables(given, known, place):
    for name in given:
        check(name in known or name in FOREIGN, f"{place}: {name} is no setting of ponte")


def check_compose(known):
    # Merge keys are YAML's, and none of the schema's business.
    text = yaml.safe_dump(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))
    compose_spec.PyCompose.from_yaml(text).to_spec()
    misspelt = text.replace("read_only:", "readonly:", 1)
    try:
        compose_spec.PyCompose.from_yaml(misspelt)
        check(False, "the schema of Compose finds nothing")
    except ValueError:
        pass
    compose = yaml.safe_load(text)
    nodes = [service for service in compose["services"].values() if service["image"] == "ponte"]
    check(len(nodes) == 2, "compose.yaml has not two nodes")
    for name, service in compose["services"].items():
        check("no-new-privileges:true" in service["security_opt"], f"{name} may gain privileges")
        check("healthcheck" in service, f"{name} has no healthcheck")
        for secret in service.get("secrets", []):
            check(secret in compose["secrets"], f"{name}: there is no secret {secret}")
        for network in service["networks"]:
            check(network in compose["networks"], f"{name}: there is no network {network}")
        for other in service.get("depends_on", {}):
            check(other in compose["services"], f"{name}: there is no service {other}")
    for node in nodes:
        check(node["read_only"] and node["cap_drop"] == ["ALL"] and node["user"] == "65532:65532", "a node may do more than it must")
        check_variables(node["environment"], known, "compose.yaml")
    check(compose["networks"]["inside"]["internal"], "the inner network leads out")


def check_secrets(compose_file):
    """deploy/secrets makes every secret of the compose file, readable by its owner alone, and keeps what is there."""
    with tempfile.TemporaryDirectory() as folder:
        run(DEPLOY / "secrets", folder, stdout=subprocess.DEVNULL)
        wanted = {Path(secret["file"]).name for secret in compose_file["secrets"].values()}
        made = {path.name: path.read_text() for path in Path(folder).iterdir()}
        check(made.keys() == wanted, f"deploy/secrets makes {sorted(made)}")
        for name in made:
            check((Path(folder) / name).stat().st_mode & 0o777 == 0o600, f"{name} is not private")
        run(DEPLOY / "secrets", folder, stdout=subprocess.DEVNULL)
        check(made == {path.name: path.read_text() for path in Path(folder).iterdir()}, "deploy/secrets replaces secrets")


def manifests():
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            yield path.name, manifest


def check_manifests(known):
    by_kind = {}
    for name, manifest in manifests():
        for version in KUBERNETES:
            kubernetes_validate.validate(manifest, version, strict=True)
        by_kind.setdefault(manifest["kind"], {})[manifest["metadata"]["name"]] = manifest
    misspelt = json.loads(json.dumps(by_kind["Deployment"]["ponte-api"]))
    misspelt["spec"]["template"]["spec"]["securityContexts"] = {}
    try:
        kubernetes_validate.validate(misspelt, KUBERNETES[0], strict=True)
        check(False, "the schemas of Kubernetes find nothing")
    except kubernetes_validate.ValidationError:
        pass
    for kind, names in {
        "Deployment": {"ponte-api", "ponte-worker"},
        "PodDisruptionBudget": {"ponte-api", "ponte-worker"},
        "Service": {"ponte"},
        "NetworkPolicy": {"ponte", "ponte-api"},
        "ConfigMap": {"ponte"},
        "Secret": {"ponte"},
        "ServiceAccount": {"ponte"},
    }.items():
        check(by_kind[kind].keys() == names, f"{kind}: {sorted(by_kind[kind])}")
    check(not any(by_kind["Secret"]["ponte"]["stringData"].values()), "the example holds a secret")
    check_variables(by_kind["ConfigMap"]["ponte"]["data"], known, "config.yaml")
    for name, deployment in by_kind["Deployment"].items():
        check_deployment(name, deployment, by_kind, known)
    service = by_kind["Service"]["ponte"]["spec"]
    pod = by_kind["Deployment"]["ponte-api"]["spec"]["template"]
    check(service["selector"].items() <= pod["metadata"]["labels"].items(), "the Service finds no pod")


def check_deployment(name, deployment, by_kind, known):
    template = deployment["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    (container,) = pod["containers"]
    check(deployment["spec"]["selector"]["matchLabels"].items() <= labels.items(), f"{name} does not find its pods")
    check(by_kind["PodDisruptionBudget"][name]["spec"]["selector"]["matchLabels"].items() <= labels.items(), f"{name} has no budget")
    check(pod["serviceAccountName"] in by_kind["ServiceAccount"], f"{name}: there is no such service account")
    check(pod["automountServiceAccountToken"] is False, f"{name} is given a token")
    check(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{name} may run as root")
    context = container["securityContext"]
    check(
        context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"] and context["capabilities"] == {"drop": ["ALL"]},
        f"{name} may do more than it must",
    )
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in {"startupProbe": "ready", "readinessProbe": "ready", "livenessProbe": "live"}.items():
        asked = container[probe]["httpGet"]
        check(asked["path"] == f"/health/{path}" and asked["port"] == "admin", f"{name}: {probe}")
    check(ports["admin"] == int(by_kind["ConfigMap"]["ponte"]["data"]["PONTE_ADMIN_LISTEN"].rsplit(":", 1)[1]), f"{name}: the port of the probes")
    # Drained within nine seconds, after it has left the endpoints.
    check(pod["terminationGracePeriodSeconds"] > 9 + container["lifecycle"]["preStop"]["sleep"]["seconds"], f"{name} is killed while it drains")
    given = {variable["name"]: variable for variable in container["env"]}
    check_variables(given, known, name)
    check(given["PONTE_ROLES"]["value"] == labels["app.kubernetes.io/component"], f"{name} has another role")
    keys = by_kind["Secret"]["ponte"]["stringData"]
    for variable in given.values():
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        check(reference is None or reference["key"] in keys, f"{name}: {variable['name']} names no secret")
    (volume,) = pod["volumes"]
    (mount,) = container["volumeMounts"]
    (item,) = volume["secret"]["items"]
    check(item["key"] in keys and volume["name"] == mount["name"] and mount["readOnly"], f"{name}: the key is not mounted")
    check(given["PONTE_MASTER_KEY_FILE"]["value"] == f"{mount['mountPath']}/{item['path']}", f"{name} looks for its key elsewhere")


def main():
    profile = sys.argv[1] if len(sys.argv) > 1 else "dev"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "context").mkdir()
        context = fresh_copy(folder / "context")
        ignored(context)
        image = replay(DEPLOY / "Dockerfile", context, folder, {"PROFILE": profile})
        check(image.base.endswith(":nonroot"), f"the base is {image.base}")
        help_text = image_works(image)
    known = known_variables(help_text)
    check_variables(image.environment, known, "Dockerfile")
    check_compose(known)
    check_secrets(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))
    check_manifests(known)
    print(f"deploy: {checks} passed, 0 failed")


if __name__ == "__main__":
    main()
