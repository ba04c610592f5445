import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import { codec, type EntityDefinition, field, type IntegrationDefinition, transform } from '../../src/index.ts';
import { checkConvergence, FAULTS_OFF, type StandInEntity } from '../../src/testing/index.ts';
import { definition, made, person, write } from './club.ts';

const backwards = codec(
  z.codec(z.string(), z.string(), { decode: (name) => name, encode: (name) => [...name].reverse().join('') }),
);

const shifted = codec(z.codec(z.int(), z.int(), { decode: (score) => score, encode: (score) => -1 - score }));

const refuse = () => {
  throw new Error('no way back');
};
const nameWithout = codec(z.codec(z.string(), z.string(), { decode: (name) => name, encode: refuse }));
const scoreWithout = codec(z.codec(z.int(), z.int(), { decode: (score) => score, encode: refuse }));

const { updatedAt: _column, ...mapping } = person.mapping;
const { changedSince: _since, ...read } = person.read;
const get = (name: string) => ({ path: `/${name}/{id}` });

/** People of one mistake, in a table and under paths of their own. */
function mistaken(name: string, change: Partial<EntityDefinition>): EntityDefinition {
  const target = pgTable(name, {
    id: text('id').primaryKey(),
    name: text('name').notNull(),
    email: text('email'),
    score: integer('score').notNull(),
  });
  return {
    ...person,
    read: { ...read, list: { ...read.list, path: `/${name}` }, get: get(name) },
    target,
    mapping,
    write: writeOf(name),
    ...change,
  };
}

function writeOf(name: string): NonNullable<EntityDefinition['write']> {
  return {
    ...write,
    update: { path: `/${name}/{id}`, ifMatch: true },
    create: { path: `/${name}` },
    delete: { path: `/${name}/{id}` },
  };
}

const noWayBack = { ...mapping, name: field('name', nameWithout), score: field('score', scoreWithout) };

const HIGHEST_SCORE = 1_000;
const ignoring: StandInEntity = { ...made, normalise: () => ({}) };
/** Whatever is written goes into the score, and makes it another one each time. */
const intoScore: StandInEntity = {
  ...made,
  normalise: (fields) => ({ score: HIGHEST_SCORE + JSON.stringify(fields).length }),
};

/** By entity: the mistake of its definition, and what its source does where they differ. */
const MISTAKES: Readonly<Record<string, readonly [definition: Partial<EntityDefinition>, source: StandInEntity]>> = {
  reversed: [{ mapping: { ...mapping, name: field('name', backwards), score: field('score', shifted) } }, made],
  deaf: [{}, ignoring],
  crossed: [{}, intoScore],
  misread: [
    { write: { ...writeOf('misread'), create: { path: '/misread', id: 'result.id' } } },
    { ...made, facts: { write: writeOf('misread') } },
  ],
  strange: [{}, { ...made, facts: { write: { ...writeOf('strange'), update: { path: '/members/{id}' } } } }],
  stuck: [{ mapping: noWayBack }, made],
  uppercase: [
    {
      mapping: {
        ...mapping,
        name: field(
          'name',
          transform((name: string) => name.toUpperCase()),
        ),
      },
    },
    made,
  ],
};

const { webhook: _webhook, ...withoutWebhook } = definition;
const all: IntegrationDefinition = {
  ...withoutWebhook,
  entities: Object.fromEntries(Object.entries(MISTAKES).map(([name, [change]]) => [name, mistaken(name, change)])),
};

const SMALL = { tickMs: 100, faults: FAULTS_OFF } as const;

test('each mistake that loses edits is told with its entity, its field and the way out, and nothing has converged', async (t) => {
  const report = await checkConvergence(all, {
    ...SMALL,
    entities: Object.fromEntries(Object.entries(MISTAKES).map(([name, [, source]]) => [name, source])),
    records: 10,
    edits: 6,
    settleMs: 3_000,
  });
  t.equal(report.converged, false);
  const { name, words } = report.parts.at(-1) ?? { name: null, words: [] };
  t.equal(name, 'edits here', 'no faults are made where edits come to nothing without them');
  const told = (pattern: RegExp, what: string) => t.match(words.join('\n'), pattern, what);
  told(
    /reversed: lost .* of `(name|score)`: the source was sent another value; .*`encode`/,
    'a way back to another value',
  );
  told(/reversed: lost .* of `name` in rows made here: .*`write.create`/, 'in new records too');
  told(
    /deaf: lost .* of `(name|email|score)`: the source took the write and left it .*`write.readOnly`/,
    'an ignored field',
  );
  told(/crossed: lost .* of `(name|email)`: the write changed `score` instead; .*`field`/, 'another field is written');
  told(
    /misread: \d × create of .*`name`.* (still|parked as) .*`record`, `id`, `answers`/,
    'an answer read in the wrong place',
  );
  told(
    /strange: \d+ × update of .*`.* (still|parked as) .*PATCH \/strange\/{id}: answered 404.*`path`/,
    'a wrong path',
  );
  told(
    /stuck: \d+ × update .*parked as unmappable.*(name|score): .*correct the steps of its mapping/,
    'a push that waits for a person',
  );
  t.match(report.reasons.join('\n'), /strange: `write` is .*members/);
  t.match(report.reasons.join('\n'), /uppercase: edits of name are undone, because /);
  t.notMatch(words.join('\n'), /uppercase: lost/, 'what cannot be sent is undone and kept as a conflict');
  t.notMatch(words.join('\n'), /deaf: lost .* instead/, 'other edits of a row are not blamed');
});

test('edits that are lost only once both sides edit are told after the full run; parked pushes are not, where they may be', async (t) => {
  let isDeaf = false;
  const deafLater: StandInEntity = { ...made, normalise: (fields) => (isDeaf ? {} : fields) };
  const report = await checkConvergence(
    { ...withoutWebhook, entities: { later: mistaken('later', {}), stuck: mistaken('stuck', { mapping: noWayBack }) } },
    {
      ...SMALL,
      entities: { later: deafLater, stuck: made },
      records: 8,
      edits: 6,
      mayPark: true,
      // Read where the part begins in which both sides edit.
      faults: {
        ...FAULTS_OFF,
        get apiGone() {
          isDeaf = true;
          return 0;
        },
      },
    },
  );
  t.equal(report.converged, false, report.lines.join('\n'));
  const part = (name: string) => report.parts.find((one) => one.name === name);
  t.match(part('edits here'), { isEqual: true });
  t.match(part('full run')?.words.join('\n'), /later: lost .* the source took the write and left it as it was/);
  t.notMatch(part('full run')?.words.join('\n'), /stuck: .*(parked|differ|lost)/);
  t.match(report.reasons.join('\n'), /stuck: \d+ × update .*parked as unmappable/);
  t.equal(part('second full run'), undefined, 'no run heals what edits came to');
});
