import { connectDatabase } from '../../src/db/connect.ts';
import { silentLog } from './database.ts';

/** A program for tests: opens the embedded database in the given folder, says so, and holds it until it is killed. */
const [dataDir] = process.argv.slice(2);
try {
  const database = await connectDatabase({ dataDir, log: silentLog });
  await database.db.execute('CREATE TABLE IF NOT EXISTS held (id serial)');
  await database.db.execute('INSERT INTO held DEFAULT VALUES');
  console.log('open');
  setInterval(() => {}, 60_000);
} catch (error) {
  console.log(error instanceof Error && 'code' in error ? `${error.code} ${error.message}` : 'failed');
}
