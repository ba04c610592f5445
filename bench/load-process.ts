import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { INTEGRATION, makeBody, makeRecord, signatureHeaders } from './records.ts';

/**
 * A program: sends signed deliveries, each of another record and id, over kept-alive connections, one request at a time on
 * each. Requests are written out and signed before the clock starts, and answers read no further than status and length,
 * so that the machine's other core is left to the server.
 */
export type LoadOrder = {
  readonly address: string;
  readonly connections: number;
  /** Deliveries at most. */
  readonly count: number;
  readonly bodyBytes: number;
  /** Of the first record; the others follow. */
  readonly firstId: number;
  readonly revision: number;
  /** Sending ends after this long, with whatever was sent. */
  readonly maxMs: number;
  /** Deliveries a second; null is as fast as the answers come. */
  readonly rate: number | null;
};

export type LoadReport = {
  readonly sent: number;
  readonly seconds: number;
  /** Answers by status code. */
  readonly statuses: { readonly [status: string]: number };
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
};

const TICK_MS = 5;
const HEAD_END = Buffer.from('\r\n\r\n');

function writeRequests({ count, bodyBytes, firstId, revision, address }: LoadOrder): Buffer[] {
  const { host } = new URL(address);
  return Array.from({ length: count }, (_, place) => {
    const deliveryId = `${revision}-${firstId + place}-${bodyBytes}`;
    const updatedAtMs = Date.UTC(2025, 5, 1) + revision * 1000;
    const body = makeBody(makeRecord(firstId + place, revision, updatedAtMs), deliveryId, bodyBytes);
    const headers = { host, 'content-type': 'application/json', ...signatureHeaders(body, deliveryId) };
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const start = `POST /webhooks/${INTEGRATION} HTTP/1.1\r\ncontent-length: ${body.length}\r\n${head.join('')}\r\n`;
    return Buffer.concat([Buffer.from(start), body]);
  });
}

/** Calls back with the status of each answer, in the order of the requests. */
function readAnswers(socket: Socket, onAnswer: (status: string) => void): void {
  let held: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const end = held.indexOf(HEAD_END);
      if (end === -1) return;
      const head = held.toString('latin1', 0, end);
      const length = /\r\ncontent-length: (\d+)/i.exec(head);
      const size = end + HEAD_END.length + Number(length?.[1] ?? 0);
      if (held.length < size) return;
      held = held.subarray(size);
      onAnswer(head.slice(9, 12));
    }
  });
}

async function connect(address: string): Promise<Socket> {
  const { hostname, port } = new URL(address);
  const socket = createConnection({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  return socket;
}

async function run(order: LoadOrder): Promise<LoadReport> {
  const requests = writeRequests(order);
  const sockets = await Promise.all(Array.from({ length: order.connections }, () => connect(order.address)));
  const waits: number[] = [];
  const statuses: Record<string, number> = {};
  const idle: (() => void)[] = [];
  let sent = 0;
  let lastAt = 0;
  const startedAt = performance.now();
  const isOver = () => sent >= requests.length || performance.now() - startedAt > order.maxMs;

  await new Promise<void>((resolve, reject) => {
    const finishWhenDone = () => {
      if (isOver() && waits.length === sent) resolve();
    };
    const limit = setTimeout(() => reject(new Error('answers stayed out')), order.maxMs + 30_000);
    limit.unref();
    for (const socket of sockets) {
      let sentAt = 0;
      const send = () => {
        const request = requests[sent];
        if (request === undefined) return;
        sent++;
        sentAt = performance.now();
        socket.write(request);
      };
      readAnswers(socket, (status) => {
        lastAt = performance.now();
        waits.push(lastAt - sentAt);
        statuses[status] = (statuses[status] ?? 0) + 1;
        if (isOver()) finishWhenDone();
        else if (order.rate === null) send();
        else idle.push(send);
      });
      socket.once('error', reject);
      if (order.rate === null) send();
      else idle.push(send);
    }
    if (order.rate !== null) paceAt(order.rate, { startedAt, idle, sentCount: () => sent, isOver, finishWhenDone });
  });
  for (const socket of sockets) socket.destroy();
  waits.sort((left, right) => left - right);
  const at = (share: number) => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? Number.NaN;
  return { sent, seconds: (lastAt - startedAt) / 1000, statuses, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

type Pace = {
  startedAt: number;
  idle: (() => void)[];
  sentCount: () => number;
  isOver: () => boolean;
  finishWhenDone: () => void;
};

/** A steady rate whatever the answers do, as far as there are idle connections. */
function paceAt(rate: number, pace: Pace): void {
  const timer = setInterval(() => {
    if (pace.isOver()) {
      clearInterval(timer);
      return pace.finishWhenDone();
    }
    const due = Math.floor(((performance.now() - pace.startedAt) / 1000) * rate) - pace.sentCount();
    for (let place = 0; place < due; place++) pace.idle.shift()?.();
  }, TICK_MS);
}

process.on('disconnect', () => process.exit(0));
process.on('message', (order: LoadOrder | 'stop') => {
  if (order === 'stop') process.exit(0);
  run(order).then(
    (report) => process.send?.(report),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.send?.({ address: '', startMs: 0 });
