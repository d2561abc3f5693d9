import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import { freePort } from './free-port.ts';
import { run } from './run.ts';
import { environmentOfPrograms } from './test-environment.ts';

/** A smart HTTP server of git repositories on loopback: git's own `http-backend`, as a web server runs it. */
export class GitServer implements AsyncDisposable {
  readonly origin: string;
  /** `Authorization` of every request, in order. */
  readonly authorizations: (string | undefined)[] = [];
  readonly #folder: string;
  readonly #close: () => Promise<void>;

  private constructor(origin: string, folder: string, close: () => Promise<void>) {
    this.origin = origin;
    this.#folder = folder;
    this.#close = close;
  }

  /**
   * Repositories lie in `folder`. With a password every request must carry it, whatever the user name. One that is old speaks the
   * first protocol alone: it gives a commit by its id where a branch ends with it. Source: gitprotocol-v2(5), git-config(1), uploadpack.
   */
  static async start(folder: string, password?: string, { isOld = false } = {}): Promise<GitServer> {
    const port = await freePort();
    const backend = join((await run('git', ['--exec-path'])).stdout.trim(), 'git-http-backend');
    const server = createServer((request, response) => {
      started.authorizations.push(request.headers.authorization);
      const given = Buffer.from(request.headers.authorization?.split(' ')[1] ?? '', 'base64').toString();
      if (password !== undefined && given.split(':')[1] !== password) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end('who are you?');
        return;
      }
      if (isOld) delete request.headers['git-protocol'];
      serve(backend, folder, request, response);
    });
    const close = async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    };
    const started = new GitServer(`http://127.0.0.1:${port}`, folder, close);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return started;
  }

  /** A commit of these files on a branch of a repository, which is made when it is not there; answers its id. */
  async commit(repository: string, branch: string, files: Readonly<Record<string, string>>): Promise<string> {
    const bare = join(this.#folder, repository);
    const work = join(this.#folder, 'work', repository);
    const git = async (...words: readonly string[]) =>
      (await run('git', ['-C', work, '-c', 'user.name=t', '-c', 'user.email=t@t', ...words])).stdout.trim();
    mkdirSync(work, { recursive: true });
    await run('git', ['init', '--quiet', '--bare', '--initial-branch=main', bare]);
    await git('init', '--quiet', '--initial-branch=main');
    await git('checkout', '--quiet', '-B', branch);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(work, name)), { recursive: true });
      writeFileSync(join(work, name), text);
    }
    await git('add', '--all');
    await git('commit', '--quiet', '--allow-empty', '--message', 'a commit');
    await git('push', '--quiet', '--force', bare, `HEAD:refs/heads/${branch}`);
    return await git('rev-parse', 'HEAD');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** As CGI. Source: git-http-backend(1), RFC 3875. */
function serve(backend: string, folder: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const child = spawn(backend, [], {
    env: {
      ...environmentOfPrograms(),
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      REQUEST_METHOD: request.method,
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => {
    // It has ended; what it printed is the answer.
  });
  request.pipe(child.stdin);
  let head = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    if (response.headersSent) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    const fields = head
      .subarray(0, end)
      .toString()
      .split('\r\n')
      .map((line) => line.split(': '));
    const status = Number(fields.find(([name]) => name === 'Status')?.[1]?.slice(0, 3) ?? 200);
    response.writeHead(
      status,
      Object.fromEntries(fields.filter(([name]) => name !== 'Status').map(([name = '', value = '']) => [name, value])),
    );
    response.write(head.subarray(end + 4));
  });
  child.stdout.on('end', () => response.end());
}
