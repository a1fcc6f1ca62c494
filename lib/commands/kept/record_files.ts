/** Record files: opens what a gateway has kept of its clients' acts, for the commands that show it. */
import {
  type ClientRecord,
  type ClientRecordKind,
  RecordFile,
} from "../../host/accounts/record_file.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";

/**
 * @param what as in "queries", and what has a gateway keep them
 * @throws {AppError} with exit code 3 where there are none that this user may read
 */
export async function openRecords<T extends ClientRecord>(
  path: string,
  kind: ClientRecordKind<T>,
  { what, keys }: { readonly what: string; readonly keys: string },
): Promise<RecordFile<T>> {
  try {
    return await RecordFile.openToRead(path, kind);
  } catch (error) {
    const reason = errorMessage(error);
    throw new AppError(
      `Cannot read the ${what} in ${path}: ${reason}: a gateway on this interface keeps them while it runs, as root, ` +
        `with ${keys}`,
      { exitCode: ExitCode.connect, cause: error },
    );
  }
}
