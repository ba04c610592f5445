import { applyTwoWay } from '../../src/sync/apply-two-way.ts';
import type { Apply } from './worker.ts';

export const applyBothWays: Apply = async (tx, stream, sighted, options) => {
  const { twoWay } = stream;
  if (twoWay === null) throw new Error('A mirror is not edited');
  return await applyTwoWay(tx, { ...stream, twoWay }, sighted, options);
};
