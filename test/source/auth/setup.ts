import { createServer } from 'node:http';
import type { Test } from 'tap';
import { type Environment, readSetting } from '../../../src/lib/setting.ts';
import { instantFromMs } from '../../../src/model/instant.ts';
import type { AuthDefinition } from '../../../src/source/auth/auth.ts';
import type { AuthDeps, OutgoingRequest } from '../../../src/source/auth/authenticator.ts';
import type { AuthSettings } from '../../../src/source/auth/settings.ts';
import type { Grant, TokenCache } from '../../../src/source/auth/token-cache.ts';
import { SourceError } from '../../../src/source/error.ts';
import { resolveSource } from '../../../src/source/resolve.ts';
import { listenFor } from '../../helpers/listen.ts';
import { collectLog, type LogLine, START_MS } from '../setup.ts';

/** What arrived, body included. */
export type Arrived = {
  readonly method: string;
  readonly url: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
};
export type Reply = { readonly status?: number; readonly headers?: Record<string, string>; readonly json?: unknown };

/** A real server that keeps what it is sent, byte for byte, and answers each request by `answer`. */
export async function startRecorder(t: Test, answer: (request: Arrived, index: number) => Reply | Promise<Reply>) {
  const arrived: Arrived[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = '', url = '', headers } = request;
    const seen = { method, url, headers, body: Buffer.concat(chunks).toString('utf8') };
    const { status = 200, headers: own = {}, json = [] } = await answer(seen, arrived.push(seen) - 1);
    response.writeHead(status, { 'content-type': 'application/json', ...own });
    response.end(JSON.stringify(json));
  });
  const port = await listenFor(t, server);
  return { arrived, origin: `http://127.0.0.1:${port}` };
}

/** What the kinds work with, on a clock that only moves when it is told. */
export function setupDeps() {
  const clock = { nowMs: START_MS };
  const lines: LogLine[] = [];
  let nonces = 0;
  const deps: AuthDeps = {
    name: 'shop',
    now: async () => instantFromMs(clock.nowMs),
    nowMs: () => clock.nowMs,
    random: () => 0.5,
    newNonce: () => `nonce-${++nonces}`,
    sleep: async (ms) => {
      clock.nowMs += ms;
    },
    log: collectLog(lines),
  };
  return { clock, lines, deps };
}

/** Settings of a source at `origin`, with what was reported of them. */
export function settingsOf(origin: string, environment: Environment = {}) {
  const problems: { path: string; problem: string }[] = [];
  const report = (path: string, problem: string) => void problems.push({ path, problem });
  const settings: AuthSettings = {
    read(path, setting) {
      const result = readSetting(setting, environment);
      if (result.ok) return result.value;
      report(path, result.problem);
      return '';
    },
    report,
    baseUrl: new URL(origin),
  };
  return { settings, problems };
}

/** The problems of a whole source under one kind of authentication. */
export function problemsOf(auth: AuthDefinition, environment: Environment) {
  const result = resolveSource('shop', { baseUrl: 'https://api.example.com', auth }, environment);
  return result.ok ? [] : result.problems;
}

/** The contract of a token cache, in its shortest form: one grant at a time, used until 60 s before its end. */
export function createPlainCache(grant: Grant, nowMs: () => number): TokenCache {
  let held: { readonly token: string; readonly untilMs: number; readonly refresh: string | null } | null = null;
  let underWay: Promise<string> | null = null;
  const renew = async (signal: AbortSignal): Promise<string> => {
    const sentMs = nowMs();
    const { accessToken, expiresInS, refreshToken } = await grant(held?.refresh ?? null, signal).catch((error) => {
      if (!(error instanceof SourceError && error.code === 'unauthorized') || (held?.refresh ?? null) === null)
        throw error;
      return grant(null, signal);
    });
    const untilMs = expiresInS === null ? Number.POSITIVE_INFINITY : sentMs + (expiresInS - 60) * 1_000;
    held = { token: accessToken, untilMs, refresh: refreshToken ?? held?.refresh ?? null };
    return accessToken;
  };
  const get = (signal: AbortSignal): string | Promise<string> => {
    if (held !== null && nowMs() < held.untilMs) return held.token;
    underWay ??= renew(signal).finally(() => {
      underWay = null;
    });
    return underWay;
  };
  return {
    get,
    async replace(refused, signal) {
      if (held?.token === refused) held = { ...held, untilMs: 0 };
      return (await get(signal)) !== refused;
    },
  };
}

export const aRequest = (origin: string, parts: Partial<OutgoingRequest> = {}): OutgoingRequest => ({
  method: 'GET',
  url: new URL('/things?b=2&a=1', origin),
  headers: { accept: 'application/json' },
  body: null,
  ...parts,
});
