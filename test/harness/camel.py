"""Evolution's mail engine (Camel, of evolution-data-server) from Debian's packages, unpacked by script/bootstrap: its IMAP store without a
screen and without D-Bus, in a process of its own that is told what to do line by line. Its cache lies in the folder, so that another
engine on the same folder comes back as the program does on the next day."""
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = TOP / "build-peers" / "camel" / "root"
LIBRARIES = ROOT / "usr/lib/x86_64-linux-gnu"
PROVIDERS = ROOT / "usr/lib/evolution-data-server/camel-providers"
SCHEMAS = ROOT / "usr/share/glib-2.0/schemas"
COMPILER = pathlib.Path("/usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas")


def available():
    return (PROVIDERS / "libcamelimapx.so").exists() and COMPILER.exists()


class Camel:
    """`call(name, ...)` runs Engine.name(...) of the other process and returns what it returns."""

    def __init__(self, folder, port, user, password):
        self.folder = pathlib.Path(folder)
        schemas = self.folder / "schemas"
        schemas.mkdir(parents=True, exist_ok=True)
        subprocess.run([COMPILER, f"--targetdir={schemas}", SCHEMAS], check=True, capture_output=True, timeout=60)
        environment = {**os.environ, "HOME": str(self.folder), "XDG_CONFIG_HOME": f"{folder}/config", "XDG_CACHE_HOME": f"{folder}/cache",
                       "XDG_DATA_HOME": f"{folder}/share", "LD_LIBRARY_PATH": str(LIBRARIES), "GI_TYPELIB_PATH": f"{LIBRARIES}/girepository-1.0",
                       "EDS_CAMEL_PROVIDER_DIR": str(PROVIDERS), "GIO_EXTRA_MODULES": f"{LIBRARIES}/gio/modules",
                       "GSETTINGS_SCHEMA_DIR": str(schemas), "GSETTINGS_BACKEND": "memory", "DBUS_SESSION_BUS_ADDRESS": "disabled:",
                       "GIO_USE_PROXY_RESOLVER": "dummy"}
        self.log = open(self.folder / "camel.log", "ab")
        self.process = subprocess.Popen([sys.executable, __file__, str(self.folder), str(port), user, password], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)

    def call(self, name, *arguments):
        self.process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the engine ended:\n{(self.folder / 'camel.log').read_text(errors='replace')[-3000:]}"
        answer = json.loads(line)
        assert "error" not in answer, f"{name}: {answer['error']}"
        return answer["value"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()  # how long it takes to leave is not what is tested
            self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def engine(folder, port, user, password):
    """The other process."""
    import gi
    gi.require_version("Camel", "1.2")
    from gi.repository import Camel as Api, GLib
    import threading

    system = {"\\Seen": Api.MessageFlags.SEEN, "\\Answered": Api.MessageFlags.ANSWERED, "\\Flagged": Api.MessageFlags.FLAGGED,
              "\\Deleted": Api.MessageFlags.DELETED, "\\Draft": Api.MessageFlags.DRAFT}

    class Session(Api.Session):
        def do_authenticate_sync(self, service, mechanism, cancellable):
            service.set_password(password)
            return service.authenticate_sync(mechanism, cancellable) == Api.AuthenticationResult.ACCEPTED

        def do_trust_prompt(self, service, certificate, errors):
            return Api.CertTrust.FULLY  # the demo signs its own

    class Engine:
        def __init__(self):
            Api.init(folder, False)
            Api.Provider.list(True)  # loads them
            self.session = Session(user_data_dir=f"{folder}/share/mail", user_cache_dir=f"{folder}/cache/mail", online=True)
            self.store = self.session.add_service("far", "imapx", Api.ProviderType.STORE)
            settings = self.store.ref_settings()
            for name, value in {"host": "127.0.0.1", "port": int(port), "user": user, "use-qresync": True, "use-idle": True,
                                "security-method": Api.NetworkSecurityMethod.SSL_ON_ALTERNATE_PORT}.items():
                settings.set_property(name, value)
            self.store.set_online_sync(True, None)

        def connect(self):
            return self.store.connect_sync(None)

        def folder(self, name):
            return self.store.get_folder_sync(name, 0, None)

        def create(self, name):
            return self.store.create_folder_sync("", name, None) is not None

        def rename(self, old, new):
            return self.store.rename_folder_sync(old, new, None)

        def refresh(self, name):
            return self.folder(name).refresh_info_sync(None)

        def known(self, name):
            """{uid: [subject, flags]} by the engine's own summary: nothing is asked of the server."""
            here = self.folder(name)
            out = {}
            for uid in here.get_uids():
                info = here.get_message_info(uid)
                if info is None:  # one that its other thread is just adding or taking away
                    continue
                flags = [flag for flag, bit in system.items() if info.get_flags() & bit]
                words = info.dup_user_flags()
                flags += [words.get(i) for i in range(words.get_length())] if words is not None else []
                out[uid] = [info.get_subject(), sorted(flags)]
            return out

        def flag(self, name, uids, add, remove):
            here = self.folder(name)
            for uid in uids:
                mask = sum(int(system[f]) for f in add + remove if f in system)
                if mask:
                    here.set_message_flags(uid, Api.MessageFlags(mask), Api.MessageFlags(sum(int(system[f]) for f in add if f in system)))
                for word in [f for f in add + remove if f not in system]:
                    here.set_message_user_flag(uid, word, word in add)
            return here.synchronize_sync(False, None)

        def expunge(self, name):
            return self.folder(name).expunge_sync(None)

        def move(self, name, uids, to):
            return self.folder(name).transfer_messages_to_sync(uids, self.folder(to), True, None)[0]

        def copy(self, name, uids, to):
            return self.folder(name).transfer_messages_to_sync(uids, self.folder(to), False, None)[0]

        def append(self, name, text, flags):
            message = Api.MimeMessage.new()
            message.construct_from_stream_sync(Api.StreamMem.new_with_buffer(text.encode()), None)
            info = Api.MessageInfo.new(None)
            info.set_flags(Api.MessageFlags(0xffff), Api.MessageFlags(sum(int(system[f]) for f in flags)))
            return self.folder(name).append_message_sync(message, info, None)[0]

        def body(self, name, uid):
            message = self.folder(name).get_message_sync(uid, None)
            out = Api.StreamMem.new()
            message.get_content().decode_to_stream_sync(out, None)
            return bytes(out.get_byte_array()).decode()

        def search(self, name, expression):
            return list(self.folder(name).search_by_expression(expression, None))

    threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
    it = Engine()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"value": getattr(it, name)(*arguments)}
        except Exception as error:  # whatever it is, the test is to see it
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    it.store.disconnect_sync(True, None)


if __name__ == "__main__":
    engine(*sys.argv[1:])
